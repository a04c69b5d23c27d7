"""A report as one picture, in SVG and PNG: calls, rates and payloads side by side.

Rules of this file
- The same report gives the same picture: no date and no random names in it.
- Ours are in one colour, the others in another, the yardsticks in grey; the scale of each panel is logarithmic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tincans.bench.paper import bytes_text, number
from tincans.bench.report import Report

COLOURS = {"ours": "#1f6feb", "other": "#e08a3c", "yardstick": "#9aa0a6"}
PANELS = (
    ("call", "A call of two ints, µs (shorter is better)"),
    ("pipelined", "Pipelined calls per second (longer is better)"),
    ("publish1", "Messages of 64 bytes per second, one subscriber (longer is better)"),
    ("clients", "Calls per second of 64 clients (longer is better)"),
)
KINDS_SHOWN = {"ours": "tincans", "other": "other libraries", "yardstick": "bare means"}


def why_not() -> str:
    """Why no picture can be drawn, or ""."""
    import importlib.util

    return "" if importlib.util.find_spec("matplotlib") else "no picture: pip install 'tincans[bench]'"


def draw(report: Report, stem: Path) -> list[Path]:
    """Write `STEM.svg` and `STEM.png`; what was written."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import patches, pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "tincans", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(3, 2, figsize=(15, 19), layout="constrained")
    for axis, (key, title) in zip(axes.flat, PANELS, strict=False):
        bars(axis, key, title, report)
    ladder(axes.flat[4], report)
    axes.flat[5].axis("off")
    handles = [patches.Patch(color=COLOURS[kind]) for kind in COLOURS]
    axes.flat[5].legend(handles, list(KINDS_SHOWN.values()), loc="upper left", frameon=False, fontsize=12)
    written = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    figure.savefig(written[0], metadata={"Date": None, "Creator": None})
    figure.savefig(written[1], dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    # matplotlib ends some lines of an SVG with blanks, which no checker of a repository likes.
    written[0].write_text("\n".join(line.rstrip() for line in written[0].read_text().splitlines()) + "\n")
    return written


def bars(axis: Any, key: str, title: str, report: Report) -> None:
    """One measure as bars, the best at the top."""
    axis.set_title(title, loc="left", fontsize=10)
    measure = report["measures"].get(key)
    if not measure or not measure["figures"]:
        axis.axis("off")
        return
    better = measure["better"] == "lower"
    found = sorted(((variants[""]["value"], name) for name, variants in measure["figures"].items()), reverse=better)
    colours = [COLOURS[report["contestants"][name]["kind"]] for _, name in found]
    drawn = axis.barh([name for _, name in found], [value for value, _ in found], color=colours, log=True)
    axis.bar_label(drawn, [number(value) for value, _ in found], padding=3, fontsize=8)
    axis.margins(x=0.15)
    axis.xaxis.set_minor_formatter("")
    axis.spines[["top", "right"]].set_visible(False)


def ladder(axis: Any, report: Report) -> None:
    """Payloads: time over size, each line with its name at the right edge."""
    axis.set_title("Payload there and a word back, µs over size (lower is better)", loc="left", fontsize=10)
    lines = curves(report)
    if not lines:
        axis.axis("off")
        return
    for name, kind, points in lines:
        style = "--" if name.endswith("shareable") else "-"
        axis.loglog(*zip(*points, strict=True), style, color=COLOURS[kind], linewidth=1.2, marker="o", markersize=2)
    sizes = sorted({size for _, _, points in lines for size, _ in points})
    axis.set_xticks(sizes, [bytes_text(size) for size in sizes], fontsize=7)
    axis.minorticks_off()
    edge = sizes[-1] * 4
    for (name, kind, points), height in zip(lines, heights([line[2][-1][1] for line in lines]), strict=True):
        axis.annotate(
            name,
            points[-1],
            (edge, height),
            fontsize=7,
            color=COLOURS[kind],
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": COLOURS[kind], "alpha": 0.6},
            annotation_clip=False,
        )
    axis.spines[["top", "right"]].set_visible(False)


Line = tuple[str, str, list[tuple[int, float]]]


def curves(report: Report) -> list[Line]:
    """Name, kind and points of each line, the one that ends lowest first."""
    lines: list[Line] = []
    for name, variants in report["measures"].get("payload", {}).get("figures", {}).items():
        for suffix, label in (("", ""), ("shared", ", already shareable")):
            points = sorted(
                (int(size), figure["value"])
                for variant, figure in variants.items()
                for size, _, kind in [variant.partition(" ")]
                if kind == suffix
            )
            if points:
                lines.append((name + label, report["contestants"][name]["kind"], points))
    return sorted(lines, key=lambda line: line[2][-1][1])


def heights(values: list[float], ratio: float = 1.45) -> list[float]:
    """Where labels go, so that none covers another: the values, kept so far apart on a logarithmic scale.

    >>> [round(height, 2) for height in heights([1.0, 1.0, 100.0], ratio=2.0)]
    [1.0, 2.0, 100.0]
    """
    found: list[float] = []
    for value in values:
        found.append(max(value, found[-1] * ratio) if found else value)
    return found
