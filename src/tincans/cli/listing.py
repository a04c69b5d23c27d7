"""`ps`, `methods`, `which`: who serves here, what each method can do, and which one to take.

Rules of this file
- Abilities are read from facts.py and said nowhere else.
- A service that does not answer is still listed; only its number of functions stays empty.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import rich_click as click

import tincans
from tincans.cli.connecting import COMPLETION_PATIENCE, json_option, peer
from tincans.cli.exits import Exit
from tincans.cli.output import say, table
from tincans.errors import TincansError
from tincans.facts import VERBS, Facts, No, Verdict
from tincans.toolkit.files import runtime_directory
from tincans.toolkit.files.runtime_directory import Service

REACHES = ("one program", "one machine", "network")


@click.command()
@json_option
def ps(as_json: bool) -> None:
    """List the services of this user: name, process, addresses, uptime and number of functions.

    \b
    Examples
      tincans ps
      tincans ps --json | jq '.[].pid'
    """
    now = time.time()
    rows = []
    for each in runtime_directory.services():
        age = now - each.started
        rows.append((each.name, each.pid, list(each.urls), round(age) if as_json else uptime(age), _functions(each)))
    table(["name", "pid", "urls", "uptime", "functions"], rows, as_json=as_json)
    if not rows:
        say("tincans: nobody serves here now. Start one with: tincans serve MODULE")


def _functions(service: Service) -> int | None:
    if service.functions is not None or not service.urls:
        return service.functions
    try:
        with peer(service.urls[0], timeout=COMPLETION_PATIENCE) as other:
            return len(other.describe()["functions"])
    except (TincansError, OSError):
        return None


def uptime(seconds: float) -> str:
    """How long, in the two largest units.

    >>> uptime(5), uptime(3725), uptime(200000)
    ('5 s', '1 h 2 min', '2 d 7 h')
    """
    left = max(0, int(seconds))
    shown: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or (unit == "s" and not shown):
            shown.append(f"{left // size} {unit}")
        left %= size
    return " ".join(shown[:2])


@click.command()
@json_option
def methods(as_json: bool) -> None:
    """List the methods and what each can do: by itself (native), through the serving program (hub), or not (-).

    \b
    Examples
      tincans methods
      tincans methods --json | jq '.[] | select(.queue != "-") | .method'
    """
    rows = [
        (name, *(_word(facts.verdict(verb)) for verb in VERBS), facts.reach, facts.survives, facts.extra, facts.summary)
        for name, facts in sorted(tincans.methods().items())
    ]
    table(["method", *VERBS, "reach", "survives", "extra", "what it is"], rows, as_json=as_json)


def _word(verdict: Verdict) -> str:
    return "-" if isinstance(verdict, No) else verdict.by


@click.command()
@click.argument("needs", nargs=-1, required=True, type=click.Choice(VERBS), metavar="VERB...")
@click.option("--reach", type=click.Choice(REACHES), default=REACHES[0], help="How far it must reach at least.")
@json_option
def which(needs: tuple[str, ...], reach: str, as_json: bool) -> int:
    """List the methods that have every VERB, and on stderr why the others have not.

    VERB is one of call, publish, queue, state, flag, lock, share. Exit code 5 when no method has them all.

    \b
    Examples
      tincans which queue lock
      tincans which call --reach network
    """
    fitting, refused = sorted_out(tincans.methods(), frozenset(needs), reach)
    rows = [(name, *(_word(facts.verdict(verb)) for verb in VERBS if verb in needs)) for name, facts in fitting.items()]
    table(["method", *(verb for verb in VERBS if verb in needs)], rows, as_json=as_json)
    for name, reason in refused.items():
        say(f"not {name}: {reason}")
    return Exit.OK if fitting else Exit.UNSUPPORTED


def sorted_out(
    known: Mapping[str, Facts], needs: frozenset[str], reach: str
) -> tuple[dict[str, Facts], dict[str, str]]:
    """The methods that fit, and the reason for each that does not.

    >>> known = {"a": Facts("a"), "b": Facts("b", lock=No("it has no state", "a"))}
    >>> fitting, refused = sorted_out(known, frozenset({"lock"}), "one machine")
    >>> list(fitting), refused
    (['a'], {'b': 'no lock: it has no state (a can)'})
    """
    fitting: dict[str, Facts] = {}
    refused: dict[str, str] = {}
    for name, facts in sorted(known.items()):
        missing = facts.missing(needs)
        if missing:
            refused[name] = "; ".join(f"no {verb}: {no.reason} ({no.instead} can)" for verb, no in missing.items())
        elif REACHES.index(facts.reach) < REACHES.index(reach):
            refused[name] = f"it reaches no further than {facts.reach}"
        else:
            fitting[name] = facts
    return fitting, refused
