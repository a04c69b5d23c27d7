"""Writes the tables of methods in README.md and docs/choose.md from the facts: `python docs/table.py` (`make table`).

Rules of this file
- The facts of each method are the only source; nothing in a table is typed by hand.
- `python docs/table.py --check` writes nothing and fails when a table is not up to date (a test runs it).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tincans
from tincans.facts import VERBS, Facts, No
from tincans.finder import find_protocol, find_transport, is_protocol

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def short_table() -> str:
    """One line a method: what each verb is."""
    lines = [f"| method | {' | '.join(VERBS)} | reach | for |", f"|---|{'---|' * len(VERBS)}---|---|"]
    for name, facts in ordered():
        marks = " | ".join(mark(facts, verb) for verb in VERBS)
        lines.append(f"| `{name}:` | {marks} | {facts.reach} | {facts.summary} |")
    return "\n".join(lines)


def mark(facts: Facts, verb: str) -> str:
    """native, hub, or a dash."""
    verdict = facts.verdict(verb)  # type: ignore[arg-type]
    return "-" if isinstance(verdict, No) else verdict.by


def ordered() -> list[tuple[str, Facts]]:
    """The methods by reach, then by name."""
    reaches = ("one program", "one machine", "network")
    return sorted(tincans.methods().items(), key=lambda item: (reaches.index(item[1].reach), item[0]))


def long_table() -> str:
    """A section a method: every fact of it."""
    return "\n\n".join(section(name, facts) for name, facts in ordered())


def section(name: str, facts: Facts) -> str:
    """All that one method says of itself."""
    rows = [
        ("verbs", ", ".join(f"{v} ({mark(facts, v)})" for v in VERBS if mark(facts, v) != "-")),
        ("order", facts.order),
        ("delivery", facts.delivery),
        ("survives", facts.survives),
        ("reach", facts.reach),
        ("platforms", f"{', '.join(facts.platforms)} (untested: {', '.join(facts.untested) or 'none'})"),
        ("leaves behind", facts.leaves_behind),
        ("needs", facts.service or (f"pip install 'tincans[{facts.extra}]'" if facts.extra else "nothing more")),
        ("largest message", f"{facts.largest_message:,} bytes" if facts.largest_message else bounded_by_option(name)),
    ]
    refused = [(v, no) for v in VERBS if isinstance(no := facts.verdict(v), No)]
    lines = [f"## `{name}:`", "", f"{facts.summary}.", "", "| | |", "|---|---|"]
    lines += [f"| {what} | {text} |" for what, text in rows]
    lines += [f"| no {verb} | {no.reason}; instead: `{no.instead}:` |" for verb, no in refused]
    return "\n".join(lines)


def bounded_by_option(name: str) -> str:
    """How much `max_message` allows by itself."""
    options: Any = find_protocol(name).options if is_protocol(name) else find_transport(name).options
    default = options["max_message"].default if "max_message" in options else 2**30
    return f"`max_message`, {default // 2**30} GiB" if default >= 2**30 else f"`max_message`, {default // 2**20} MiB"


def with_table(text: str, table: str) -> str:
    """The text with its table renewed."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> int:
    """Write, or check."""
    stale = []
    for path, table in ((ROOT / "README.md", short_table()), (ROOT / "docs" / "choose.md", long_table())):
        text = path.read_text()
        renewed = with_table(text, table)
        if renewed != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(renewed)
    if stale and "--check" in sys.argv:
        print(f"not up to date: {', '.join(stale)}; run: make table")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
