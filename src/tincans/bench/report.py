"""A run as plain data, which is what is written to the JSON file and what the paper and the picture are made from.

Rules of this file
- Everything the paper says stands in the report: a paper can be made again from the file alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tincans.bench import bars, machine, starting
from tincans.bench.contestant import Contestant
from tincans.bench.measures import MEASURES
from tincans.bench.plan import Plan
from tincans.bench.rounds import Results

Report = dict[str, Any]


def made_from(results: Results, contestants: Iterable[Contestant], plan: Plan) -> Report:
    """The report of a run."""
    known = list(contestants)
    modules = {module for each in known if each.kind != "ours" for module in each.needs}
    return {
        "machine": machine.description(modules | {"msgspec", "numpy"}),
        "plan": dataclasses.asdict(plan),
        "seconds": round(results.seconds),
        "contestants": {each.name: {"kind": each.kind, "about": each.about} for each in known},
        "left_out": results.left_out,
        "failed": results.failed,
        "measures": measured(results),
        "bars": bars.verdicts(results),
    }


def measured(results: Results) -> dict[str, Any]:
    """Each measure with what it is and its figures."""
    found = {
        measure.key: {
            "title": measure.title,
            "unit": measure.unit,
            "better": measure.better,
            "about": measure.about,
            "figures": rounded(results.figures[measure.key]),
        }
        for measure in MEASURES
        if measure.key in results.figures
    }
    if "import" in results.figures:
        about = {"title": "Import", "unit": "ms", "better": "lower", "about": starting.ABOUT}
        found["import"] = {**about, "figures": rounded(results.figures["import"])}
    return found


def rounded(value: Any) -> Any:
    """Numbers with as many digits as mean something.

    >>> rounded({"a": [1.23456789, 123456.789]})
    {'a': [1.2346, 123460.0]}
    """
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
