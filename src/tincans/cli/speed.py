"""`bench`: how fast one address is on this machine, or all local methods side by side.

Rules of this file
- The measuring is done by `tincans.bench`; here it is only asked for and shown.
- Figures go to stdout, how far it is goes to stderr.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from typing import Any

import rich_click as click

from tincans.bench import single
from tincans.bench.paper import brief, bytes_text, number
from tincans.bench.report import rounded
from tincans.bench.rounds import Results
from tincans.cli.exits import Exit
from tincans.cli.output import say, show, table

NAMES = {
    "call": "call",
    "pipelined": "pipelined calls",
    "state": "read a value",
    "turn": "queue: put, take, acknowledge",
    "publish1": "publish, one subscriber",
}


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all figures.")
@click.option("--quiet", is_flag=True, help="Do not say how far it is.")
def bench(name: str | None, as_json: bool, quiet: bool) -> int:
    """Measure NAME, a name or any URL, on this machine: calls, pipelined calls, publishing, a queue, payloads.

    A server of the benchmark's own is started there; when one runs there already, that one is measured. Without NAME,
    all methods that are here are compared, the fastest call first.

    \b
    Examples
      tincans bench
      tincans bench unix:speed
      tincans bench tcp://127.0.0.1:0 --json | jq .measures.call.value
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: all programs are ended
    tell = (lambda text: None) if quiet else say
    if name is None:
        results = single.compare(tell)
        rows = list(compared(results))
    else:
        results, _ = single.measure(name, tell)
        rows = list(lines(results, name))
    if as_json:
        show(plain(results, name), as_json=True)
    else:
        table(COMPARED if name is None else MEASURED, rows)
    for measure, failed in results.failed.items():
        for who, why in failed.items():
            say(f"tincans: {NAMES.get(measure, measure)} failed for {who}: {brief(why)}")
    for who, why in results.left_out.items():
        say(f"tincans: left out: {who}: {brief(why)}")
    return Exit.OK if rows else Exit.FAILED


MEASURED = ("what", "median", "p99", "unit")
COMPARED = ("method", "call, µs", "p99, µs", "calls/s", "queue items/s", "messages/s", "64 KiB, µs", "64 MiB, µs")


def lines(results: Results, name: str) -> Iterator[tuple[str, str, str, str]]:
    """One line a figure."""
    for key, what in NAMES.items():
        value, p99 = results.value(key, name), results.value(key, name, "", "p99")
        if value is not None:
            yield what, number(value), "" if p99 is None else number(p99), unit(key)
    for variant, figure in results.figures.get("payload", {}).get(name, {}).items():
        size, _, kind = variant.partition(" ")
        label = f"payload of {bytes_text(int(size))}{', already shareable' if kind else ''}"
        yield label, number(figure["value"]), number(figure["p99"]), "µs"


def unit(key: str) -> str:
    """What a figure counts."""
    return {"call": "µs", "state": "µs", "pipelined": "calls/s", "turn": "items/s"}.get(key, "messages/s")


def compared(results: Results) -> Iterator[tuple[str, ...]]:
    """One line a method, the fastest first."""
    calls = results.figures.get("call", {})
    for name in sorted(calls, key=lambda each: float(calls[each][""]["value"])):
        figures = (
            results.value("call", name),
            results.value("call", name, "", "p99"),
            results.value("pipelined", name),
            results.value("turn", name),
            results.value("publish1", name),
            *(results.value("payload", name, str(size)) for size in single.GLANCE.sizes),
        )
        yield name, *("" if figure is None else number(figure) for figure in figures)


def plain(results: Results, name: str | None) -> Mapping[str, Any]:
    """All figures for another program: by measure, and by method unless there is only one."""
    measures = {
        key: {who: variants[""] if list(variants) == [""] else variants for who, variants in reported.items()}
        for key, reported in rounded(results.figures).items()
    }
    return {
        "name": name,
        "measures": measures if name is None else {key: each.get(name) for key, each in measures.items()},
        "failed": results.failed,
        "left_out": results.left_out,
    }
