"""A run: every measure, in rounds that ask all contestants in turn, and what came of it.

Rules of this file
- A contestant that fails in a measure is left out of the rest of it, by name and with the reason, and its programs are
  ended; the next measure starts them again.
- The programs of all contestants run all the time; those that are not asked sleep.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tincans.bench import broker, leftovers
from tincans.bench.contestant import Contestant
from tincans.bench.measures import MEASURES, Measure
from tincans.bench.plan import Plan
from tincans.bench.programs import Failure, Partly
from tincans.bench.stage import Stage, all_ended

Say = Callable[[str], object]
Reported = dict[str, dict[str, dict[str, Any]]]
"""By contestant and variant: "value", "min", "p99", "rounds" and what else a measure has."""


@dataclass
class Results:
    """What was found out, by measure."""

    figures: dict[str, Reported] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Who took no part, and why."""
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    """Who failed in a measure, and how."""
    seconds: float = 0.0

    def value(self, measure: str, contestant: str, variant: str = "", what: str = "value") -> float | None:
        """One figure, or None."""
        found = self.figures.get(measure, {}).get(contestant, {}).get(variant, {}).get(what)
        return None if found is None else float(found)


def run(
    contestants: Iterable[Contestant],
    plan: Plan,
    *,
    say: Say = lambda text: None,
    measures: Sequence[Measure] = MEASURES,
    word: str = "",
) -> Results:
    """Measure them all. `say` hears how far it is; `word` is what the programs of a single URL are told."""
    results = Results()
    began = time.monotonic()
    present = []
    for contestant in contestants:
        reason = contestant.why_not() or (broker.why_not() if contestant.service else "")
        if reason:
            results.left_out[contestant.name] = reason
        else:
            present.append(contestant)
    with staged(present, word) as woken:
        stages = [stage for stage in woken if is_up(stage, results.left_out)]
        for measure in measures:
            able = [s for s in stages if measure.ability in s.contestant.can and measure.who(s.contestant)]
            if able:
                say(f"{time.monotonic() - began:4.0f} s  {measure.title} ({len(able)})")
                results.figures[measure.key] = in_rounds(measure, able, plan, results.failed)
    results.seconds = time.monotonic() - began
    return results


def is_up(stage: Stage, left_out: dict[str, str]) -> bool:
    """Whether its serving program got up; if not, it is left out with its last words."""
    try:
        stage.alice  # noqa: B018 (waits until she is ready)
    except Failure as failure:
        left_out[stage.contestant.name] = f"it did not start: {failure}"
        stage.end()
        return False
    return True


@contextlib.contextmanager
def staged(contestants: Sequence[Contestant], word: str) -> Iterator[list[Stage]]:
    """Their programs, and the broker if one of them needs it; all are ended, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="tcb-") as directory, contextlib.ExitStack() as stack:
        root = Path(directory)
        patterns = {each.leaves.format(root=root.name[-8:]) for each in contestants if each.leaves}
        stack.enter_context(leftovers.taken_away(patterns))
        needed = any(each.service for each in contestants)
        running = stack.enter_context(broker.running(root / "broker")) if needed else None
        stages = [
            Stage(each, root, number=number, broker=running if each.service else None, word=word)
            for number, each in enumerate(contestants)
        ]
        try:
            for stage in stages:
                stage.wake()  # all at the same time; who does not get up is left out
            yield stages
        finally:
            all_ended(stages)


def in_rounds(measure: Measure, stages: Sequence[Stage], plan: Plan, failed: dict[str, dict[str, str]]) -> Reported:
    """One measure: round after round, each contestant once a round."""
    raw: dict[str, dict[str, list[dict[str, float]]]] = {}
    out: dict[str, str] = {}
    some: dict[str, str] = {}
    for _ in range(plan.rounds if measure.often else plan.few_rounds):
        for stage in stages:
            name = stage.contestant.name
            if name in out:
                continue
            try:
                for variant, figure in measure.round(stage, plan).items():
                    raw.setdefault(name, {}).setdefault(variant, []).append(figure)
            except Partly as error:
                some[name] = str(error)
                for variant, figure in error.figures.items():
                    raw.setdefault(name, {}).setdefault(variant, []).append(figure)
                stage.end()
            except (Failure, OSError) as error:
                out[name] = str(error)
                stage.end()
    if out or some:
        failed[measure.key] = some | out
    return {
        name: {variant: of_rounds(rounds, measure.better) for variant, rounds in variants.items()}
        for name, variants in raw.items()
    }


def of_rounds(rounds: Sequence[dict[str, float]], better: str) -> dict[str, Any]:
    """One contestant's figure: medians of the rounds, and the best of them.

    >>> of_rounds([{"value": 3.0}, {"value": 1.0}, {"value": 2.0}], "lower")
    {'value': 2.0, 'best': 1.0, 'worst': 3.0, 'rounds': [3.0, 1.0, 2.0]}
    """
    values = [each["value"] for each in rounds]
    figure: dict[str, Any] = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    if "min" in figure:
        figure["min"] = min(each["min"] for each in rounds)
    best, worst = (min(values), max(values)) if better == "lower" else (max(values), min(values))
    return {**figure, "best": best, "worst": worst, "rounds": values}
