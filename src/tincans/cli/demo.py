"""`demo`: Alice and Bob, two programs started apart, talk over every method that is here.

Rules of this file
- Both are real programs (`demo_alice.py`, `demo_bob.py`); here they are only started, heard and ended.
- What a method needs is read from its facts; a method that cannot be shown is named with the reason.
- Every wait has an end, both programs are always ended, and nothing stays on disk.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click

import tincans
from tincans.cli.exits import Exit
from tincans.cli.libraries import missing
from tincans.cli.output import json_text, show, table
from tincans.facts import Facts, No

WHO = {"alice": ["-m", "tincans.cli.demo_alice"], "bob": ["-m", "tincans.cli.demo_bob"]}
PATIENCE = 30.0  # seconds for both programs to start and say everything on one method


@click.command()
@click.option("--only", "wanted", multiple=True, metavar="METHOD", help="Show this method; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per method and no talk.")
def demo(wanted: tuple[str, ...], as_json: bool) -> int:
    """Start Alice and Bob as two programs for each method that is here, and show what they say and how fast.

    Exit code 1 when a method that is here did not work.

    \b
    Examples
      tincans demo
      tincans demo --only unix --only pipe
    """
    known = tincans.methods()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise click.UsageError(f"There is no method {unknown[0]!r}. There are: {', '.join(sorted(known))}.")
    results = []
    for name in wanted or sorted(known):
        result = shown(name, known[name], aloud=not as_json)
        results.append(result)
        if as_json:
            show(result, as_json=True)
    if not as_json:
        table(["method", "time per call", ""], [(r["method"], _time(r), r.get("why", "")) for r in results])
    return Exit.FAILED if any(result["ended"] == "failed" for result in results) else Exit.OK


def shown(method: str, facts: Facts, *, aloud: bool) -> dict[str, Any]:
    """Let the two talk over one method. "ended" is "well", "failed" or "not shown", with the reason in "why"."""
    result: dict[str, Any] = {"method": method, "said": []}
    why_not = obstacle(facts)
    if why_not:
        return result | {"ended": "not shown", "why": why_not}
    if aloud:
        show(f"{method}: {facts.summary}")
    try:
        with tempfile.TemporaryDirectory(prefix="tincans-demo-") as place:
            for told in conversation(method, facts, place):
                if "median" in told:
                    result |= told
                else:
                    result["said"].append(told)
                if aloud:
                    show(line(told))
    except RuntimeError as error:
        result |= {"ended": "failed", "why": str(error)}
    else:
        result["ended"] = "well"
    if aloud:
        show(f"  failed   {result['why']}\n" if "why" in result else "")
    return result


def obstacle(facts: Facts) -> str:
    """Why a method cannot be shown by two programs on this machine, or ""."""
    if facts.reach == "one program":
        return "inside one program only"
    if sys.platform not in facts.platforms + facts.untested:
        return f"not on {sys.platform}"
    return missing(facts) or (f"needs {facts.service}" if facts.service else "")


def demo_url(method: str, facts: Facts, place: str) -> str:
    """Where Alice of the demo serves: any free port of this machine, a file in `place`, or a name nobody else has."""
    if facts.reach == "network":
        return f"{method}://127.0.0.1:0"
    if facts.stored or isinstance(facts.call, No):  # it lives in files, which outlive the programs
        return f"{method}:{quote(place)}/demo"
    return f"{method}:demo-{os.getpid()}"


def conversation(method: str, facts: Facts, place: str) -> Iterator[dict[str, Any]]:
    """What Bob tells while he talks to Alice. RuntimeError with the last words of the one who failed."""
    if method == "stdio":  # there Alice is Bob's child
        command = shlex.join([sys.executable, *WHO["alice"], "stdio:"])
        yield from _told_by_bob(f"stdio:{quote(command, safe=' /')}", place)
        return
    with _started("alice", demo_url(method, facts, place), place) as alice:
        url = next(_lines(alice, time.monotonic() + PATIENCE), None)
        if url is None:
            raise RuntimeError(f"Alice did not start: {_last_words('alice', place)}")
        yield from _told_by_bob(url, place)


def _told_by_bob(url: str, place: str) -> Iterator[dict[str, Any]]:
    with _started("bob", url, place) as bob:
        told: dict[str, Any] = {}
        for text in _lines(bob, time.monotonic() + PATIENCE):
            told = json.loads(text)
            yield told
        if "median" not in told:
            raise RuntimeError(f"Bob did not finish: {_last_words('bob', place)}")


@contextmanager
def _started(who: str, url: str, place: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of the two as a program of its own, in the directory `place`; ended on the way out."""
    command = [sys.executable, *WHO[who], url]
    with _complaints(who, place).open("wb") as complaints:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, cwd=place)
    try:
        yield program
    finally:
        _end(program)


def _complaints(who: str, place: str) -> Path:
    # A file and not a pipe: it is never full, and nobody has to wait for its end.
    return Path(place) / f"{who}.stderr"


def _last_words(who: str, place: str) -> str:
    """The last line that a program wrote on stderr."""
    said = _complaints(who, place).read_text(encoding="utf-8", errors="replace").strip()
    return said.rpartition("\n")[2] or "no answer in time"


def _end(program: subprocess.Popen[bytes]) -> None:
    assert program.stdin and program.stdout  # both are pipes
    program.stdin.close()
    try:
        program.wait(5)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    program.stdout.close()


def _lines(program: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """What a program prints, line by line, until it ends or the deadline (in `time.monotonic`) passes."""
    assert program.stdout is not None
    held = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(program.stdout, selectors.EVENT_READ)
        while waiting.select(max(0.0, deadline - time.monotonic())):
            arrived = os.read(program.stdout.fileno(), 65536)
            if not arrived:
                return
            *whole, held = (held + arrived).split(b"\n")
            yield from (each.decode() for each in whole)


def line(told: dict[str, Any]) -> str:
    """One thing that was said, as it is shown.

    >>> line({"verb": "call", "said": "alice.call.add(2, 5)", "heard": 7})
    '  call     alice.call.add(2, 5)                  -> 7'
    """
    if "median" in told:
        return f"  {_time(told)} per call (median of {told['calls']:,})"
    if "no" in told:
        return f"  {told['verb']:<8} {told['no']}"
    return f"  {told['verb']:<8} {told['said']:<37} -> {json_text(told['heard'])}"


def _time(told: dict[str, Any]) -> str:
    return f"{told['median'] * 1e6:,.1f} µs" if "median" in told else "-"
