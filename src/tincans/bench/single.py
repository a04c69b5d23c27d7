"""One URL on the user's own machine: Alice is started there, or, when somebody serves it already, asked as she is.

Rules of this file
- The user's own runtime directory and current directory are used, for the address is hers.
- A server that is hers is asked only what it exposes; what it lacks is left out by name.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import tincans
from tincans.bench import line_up, ours, rounds
from tincans.bench.contestant import Ability, Contestant
from tincans.bench.line_up import AT, RUNNING
from tincans.bench.measures import BY_KEY
from tincans.bench.plan import KIB, MIB, Plan
from tincans.bench.programs import Failure, Program, end
from tincans.bench.rounds import Results
from tincans.errors import NotExposedError, TincansError, UnreachableError

SHORT = Plan(
    rounds=3,
    seconds=0.2,
    few_rounds=2,
    sizes=(8, KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB),
    big=256 * MIB,
    crowd=0,
    crowd_seconds=0.0,
)
MEASURED = tuple(BY_KEY[key] for key in ("call", "pipelined", "state", "turn", "publish1", "payload"))
COMPARED = tuple(BY_KEY[key] for key in ("call", "pipelined", "turn", "publish1", "payload"))
GLANCE = Plan(rounds=3, seconds=0.1, few_rounds=2, sizes=(64 * KIB, 64 * MIB), big=64 * MIB, crowd=0, crowd_seconds=0.0)
CONNECTING = 2.0
Say = Callable[[str], object]


def measure(url: str, say: Say = lambda text: None, plan: Plan = SHORT) -> tuple[Results, bool]:
    """The figures of one URL, and whether a server that was there already was measured.

    UnreachableError when Alice cannot serve there and nobody else does.
    """
    contestant = ours.at(url)
    if contestant.why_not():
        raise UnreachableError(f"{url} cannot be measured: {contestant.why_not()}.", url=url)
    fault = tried(url)
    if not fault:
        say(f"serving at {url}, in a program of its own")
        return rounds.run([contestant], plan, say=say, measures=MEASURED, word=AT + url), False
    contestant = known(url, fault, say)
    return rounds.run([contestant], plan, say=say, measures=MEASURED, word=RUNNING + url), True


def tried(url: str) -> str:
    """Why Alice cannot serve there, in her last words; "" when she can."""
    with tempfile.TemporaryDirectory(prefix="tcb-") as place:
        alice = Program("alice", AT + url, Path(place), quiet=False)
        try:
            alice.started()
        except Failure as failure:
            return str(failure) or "she did not start"
        finally:
            end([alice])
    return ""


def known(url: str, fault: str, say: Say) -> Contestant:
    """A server of the user's: what it can be asked."""
    try:
        with tincans.connect(url, timeout=CONNECTING) as peer:
            offered = {each["name"] for each in peer.describe()["functions"]}
            sum_of_two = peer.call("add", 2, 5) if "add" in offered else None
    except NotExposedError:
        offered, sum_of_two = set(), None
    except TincansError as error:
        raise UnreachableError(
            f"Alice cannot serve at {url} ({fault}), and nobody else does: {error}", url=url
        ) from None
    lacking: set[Ability] = set()
    if sum_of_two != 7:
        lacking |= {"call", "pipeline"}
    if "size" not in offered:
        lacking.add("payload")
    say(f"measuring the server that runs at {url}")
    if lacking:
        say(
            f"it does not offer what {', '.join(sorted(lacking))} would be measured with; this does: "
            f"tincans serve tincans.bench.service --on {url}"
        )
    contestant = ours.at(url, running=True)
    return dataclasses.replace(contestant, can=contestant.can - lacking)


def compare(say: Say = lambda text: None, plan: Plan = GLANCE) -> Results:
    """All methods that are here and need no server of somebody else's, at a glance."""
    here = [
        each
        for each in line_up.everybody()
        if each.kind == "ours" and "," not in each.name and not each.service and "call" in each.can
    ]
    return rounds.run(here, plan, say=say, measures=COMPARED)
