"""What each method promises, cell by cell. What a fact says is taken from the facts; the rest is said once for each way
of keeping jobs and news.

Rules of this file
- A method whose queues are its own has a row in OWN: a new one without it fails here, and so the test of the papers.
- Each cell has a test: the column's, in tests/two_programs, or the method's, in tests/own.
"""

from __future__ import annotations

from tables.methods import ordered
from tincans.facts import Facts, Yes

CUT = "is dropped whole: nobody sees half of it"
STRING = (
    "who waits for it fails at once, outcome unknown if a call was under way; its job on lease goes to another,"
    " its lock to the next",
    f"a message that was being sent {CUT}; its streams are closed, its async calls cancelled, other functions run to"
    " their end",
    "the sender waits, at most its timeout; news: the oldest goes, and is counted; a full queue: `on_full`",
)
OWN = {
    "http": (
        "who waits for it fails at once, outcome unknown; a job on lease comes back when its lease is over",
        f"a request that did not arrive whole {CUT}; a function that was called runs to its end",
        "a client that takes nothing is cut (`client_timeout`); news: the oldest goes, and is counted",
    ),
    "file": (
        "a call that it was doing is done again; its job goes to another when its lease is over, its lock at once",
        "the file is the old one or the new one, never half; a call that was written is answered",
        "the file has a bound: who adds to a full one is refused, or waits (`on_full`)",
    ),
    "mmap": ("nothing: values stay", "the old value or the new one, never half", "sees the latest value"),
    "signal": ("nothing: flags stay", "the file says the old or the new", "sees the latest state"),
    "sqlite": (
        "a call that it took fails, outcome unknown; its job goes to another at once, its lock is free",
        f"what was not committed {CUT}; a call whose caller has died is not begun after its deadline",
        "letters wait in the file, up to a bound; news: the oldest goes, and is counted",
    ),
    "redis": (
        "a call fails, outcome unknown; its job comes back when its lease is over, its lock when somebody wants it",
        f"a letter that did not get to Redis {CUT}",
        "the sender waits for room, at most its timeout; news: the oldest goes, and is counted",
    ),
}


def by_method() -> str:
    """One line a method."""
    heads = ("method", "delivery", "order", "receiver is killed", "sender is killed", "receiver is slow")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    same: list[str] = []
    plain = Facts("")
    for name, facts in ordered():
        cells = cells_of(name, facts)
        if cells is STRING and (facts.delivery, facts.order) == (plain.delivery, plain.order):
            same.append(f"`{name}:`")
        else:
            lines.append(f"| `{name}:` | {facts.delivery} | {facts.order} | {' | '.join(cells)} |")
    lines.insert(2, f"| {', '.join(same)} | {plain.delivery} | {plain.order} | {' | '.join(STRING)} |")
    return "\n".join(lines)


def cells_of(name: str, facts: Facts) -> tuple[str, str, str]:
    """What happens when one of the two is killed or slow."""
    if name in OWN:
        return OWN[name]
    if isinstance(facts.queue, Yes) and facts.queue.by == "hub":
        return STRING
    raise KeyError(f"docs/tables/guarantees.py says nothing of {name}, which keeps its jobs in a way of its own")
