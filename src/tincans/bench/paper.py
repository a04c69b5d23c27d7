"""A report as a page of Markdown: `docs/benchmarks.md`.

Rules of this file
- Every number comes from the report; the page says so, and a test makes it again from the JSON file beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tincans.bench.report import Report

Row = Sequence[str]
KINDS = {"ours": "**{}**", "other": "{}", "yardstick": "*{}*"}

HOW = """\
Each contestant is two or more real programs: one serves, the others are its clients, and a program beside them only
tells them what to do and looks at the clock of the kernel. All contestants' programs run all the time, and sleep when
they are not asked. A round asks every contestant in turn, the next round asks them all again, so that a machine that
slows down slows all; each warms up before it is timed. A figure is the median of its rounds. Times are those of one
monotonic clock. Every library is used the way its own documentation recommends, and what is said below of each of them
is what its file in `src/tincans/bench/` does. Absolute times do not travel from machine to machine, their ratios
travel better: the promises are ratios of two medians of one run wherever they can be."""


def page(report: Report, pictures: Sequence[str] = ()) -> str:
    """The whole page."""
    parts = [
        "# Benchmarks",
        "This page is written by `make bench`, from `benchmarks.json` beside it. Do not edit it.",
        machine(report),
        *[f"![Speed, side by side]({name})" for name in pictures],
        "## Promises",
        "Each line is a promise of this library. A ratio compares two medians of this run.",
        promises(report["bars"]),
        *[section(key, report) for key in report["measures"]],
        "## Not measured",
        absent(report),
        "## How we measure",
        HOW,
        *[f"**{each['title']}.** {each['about']}" for each in report["measures"].values()],
        "## Who was measured",
        "Ours are **bold**; *yardsticks* are the bare means, with no checks, no names and no dispatch.",
        who(report),
    ]
    return "\n\n".join(parts) + "\n"


def machine(report: Report) -> str:
    """Where and when."""
    about = report["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    plan = report["plan"]
    return (
        f"Measured on {about['measured']}: {about['processors']}, {about['memory']}, {about['kernel']}, "
        f"{about['python']}, tincans {about['tincans']}; load before the end {about['load']}; the run "
        f"took {report['seconds']} s, {plan['rounds']} rounds ({plan['few_rounds']} of what takes long). "
        f"{libraries}."
    )


def promises(bars: Sequence[Mapping[str, Any]]) -> str:
    """The table of bars."""
    rows = [(f"{bar['issue']}", bar["what"], measured(bar), limit(bar), met(bar)) for bar in bars]
    return table(("issue", "promise", "measured", "bar", "met"), rows)


def measured(bar: Mapping[str, Any]) -> str:
    """The figure of a bar."""
    return "not measured" if bar["value"] is None else f"{number(bar['value'])} {bar['unit']}"


def limit(bar: Mapping[str, Any]) -> str:
    """What was promised."""
    return f"{'at least' if bar['at_least'] else 'at most'} {number(bar['bar'])} {bar['unit']}"


def met(bar: Mapping[str, Any]) -> str:
    """yes, **no**, or nothing."""
    return "" if bar["met"] is None else "yes" if bar["met"] else "**no**"


def section(key: str, report: Report) -> str:
    """One measure."""
    measure = report["measures"][key]
    draw = DRAWN.get(key, rates if measure["better"] == "higher" else times)
    lines = [f"## {measure['title']}", draw(measure, report)]
    failed = report["failed"].get(key, {})
    if failed:
        lines.append("Failed: " + "; ".join(f"{name} ({brief(why)})" for name, why in failed.items()) + ".")
    return "\n\n".join(lines)


def ordered(measure: Mapping[str, Any], variant: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """Names and figures, the best first."""
    found = [(name, variants[variant]) for name, variants in measure["figures"].items() if variant in variants]
    return sorted(found, key=lambda item: item[1]["value"], reverse=measure["better"] == "higher")


def times(measure: Mapping[str, Any], report: Report) -> str:
    """Median, fastest and 99th percentile; the processor time where there is one."""
    shown = {"value": "median", "min": "min", "p99": "p99", "best": "best round", "processor": "CPU"}
    shown["clients"] = "clients"
    return by_name(measure, report, shown)


def rates(measure: Mapping[str, Any], report: Report) -> str:
    """Median, best and worst round, and what was lost or starved."""
    shown = {"value": "median", "best": "best", "worst": "worst", "slowest": "slowest / mean", "clients": "clients"}
    shown["lost"] = "lost"
    return by_name(measure, report, shown)


def by_name(measure: Mapping[str, Any], report: Report, shown: Mapping[str, str]) -> str:
    """A row for each contestant."""
    figures = ordered(measure)
    keys = [key for key in shown if any(key in figure for _, figure in figures)]
    rows = [
        (named(name, report), *(number(figure[key]) if key in figure else "" for key in keys))
        for name, figure in figures
    ]
    return table((measure["unit"], *(shown[key] for key in keys)), rows)


def ladder(measure: Mapping[str, Any], report: Report) -> str:
    """A row for each contestant, a column for each size."""
    sizes = sorted({int(v.split()[0]) for variants in measure["figures"].values() for v in variants})
    rows = []
    for name, variants in sorted(
        measure["figures"].items(), key=lambda item: item[1][min(item[1], key=size_of)]["value"]
    ):
        for suffix in ("", " shared"):
            cells = [variants.get(f"{size}{suffix}") for size in sizes]
            if any(cells):
                label = named(name, report) + (", already shareable" if suffix else "")
                rows.append((label, *(number(cell["value"]) if cell else "" for cell in cells)))
    return table((measure["unit"], *(bytes_text(size) for size in sizes)), rows)


def size_of(variant: str) -> int:
    """The bytes of a variant."""
    return int(variant.split()[0])


def published_arrays(measure: Mapping[str, Any], report: Report) -> str:
    """A row for each contestant and variant."""
    rows = [
        (named(name, report), *variant.split(), number(figure["value"]), number(figure["heard"]))
        for name, variants in measure["figures"].items()
        for variant, figure in variants.items()
    ]
    return table((measure["unit"], "array", "subscribers", "publish", "until the last had it"), rows)


DRAWN: Mapping[str, Callable[[Mapping[str, Any], Report], str]] = {
    "payload": ladder,
    "publish_array": published_arrays,
}


def absent(report: Report) -> str:
    """Who took no part, and why."""
    lines = [f"- {name}: {brief(why)}" for name, why in report["left_out"].items()]
    return "\n".join(lines) or "Everybody took part."


def who(report: Report) -> str:
    """How each contestant is used."""
    return table(
        ("", "used as"), [(named(name, report), each["about"]) for name, each in report["contestants"].items()]
    )


def named(name: str, report: Report) -> str:
    """A contestant's name, by its kind."""
    kind = report["contestants"].get(name, {}).get("kind", "other")
    return KINDS[kind].format(name)


def table(head: Row, rows: Sequence[Row]) -> str:
    """A table whose first columns are words."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits that mean something, thousands apart.

    >>> number(1234567.0), number(12.345), number(0.0123), number(0)
    ('1,230,000', '12.3', '0.0123', '0')
    """
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if abs(short) >= 100 or short == 0 else f"{short:.3g}"


def bytes_text(size: int) -> str:
    """A number of bytes.

    >>> bytes_text(8), bytes_text(16384), bytes_text(2**28)
    ('8 B', '16 KiB', '256 MiB')
    """
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size // scale} {unit}"
    return f"{size} B"


def brief(why: str) -> str:
    """The first line, not too long, and fit for a table."""
    first = why.strip().partition("\n")[0].replace("|", "/")
    return first if len(first) <= 200 else f"{first[:197]}..."
