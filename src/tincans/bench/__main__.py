"""`python -m tincans.bench` (`make bench`): everything, measured now, side by side, and the papers made from it.

Rules of this file
- Ctrl-C and SIGTERM end every program that was started, and nothing is written.
- `--render` makes the papers again from a JSON file, without measuring.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tincans.bench import line_up, paper, picture, report, rounds, starting
from tincans.bench.measures import BY_KEY, MEASURES
from tincans.bench.plan import FULL, QUICK, SMOKE

PLANS = {"full": FULL, "quick": QUICK, "smoke": SMOKE}


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tincans.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--plan", choices=PLANS, default="full", help="how much is measured (default: full)")
    parser.add_argument("--quick", dest="plan", action="store_const", const="quick", help="some minutes, coarse")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these contestants")
    parser.add_argument("--measure", nargs="+", choices=BY_KEY, metavar="MEASURE", help="only these measures")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the papers go (default: docs)")
    parser.add_argument("--render", type=Path, metavar="JSON", help="make the papers from this file; measure nothing")
    parser.add_argument(
        "--list", action="store_true", help="name the contestants and the measures, and measure nothing"
    )
    return parser.parse_args(words)


def main() -> int:
    """Measure and write, or only write."""
    wanted = options()
    if wanted.list:
        show_list()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = json.loads(wanted.render.read_text()) if wanted.render else measured(wanted)
    except KeyboardInterrupt:
        say("interrupted: all programs were ended, nothing was written")
        return 130
    write(found, wanted.out)
    return 0


def measured(wanted: argparse.Namespace) -> report.Report:
    """A run."""
    plan = PLANS[wanted.plan]
    contestants = [each for each in line_up.everybody() if not wanted.only or each.name in wanted.only]
    measures = [measure for measure in MEASURES if not wanted.measure or measure.key in wanted.measure]
    results = rounds.run(contestants, plan, say=say, measures=measures)
    results.figures["import"] = starting.import_time(plan.rounds)
    return report.made_from(results, contestants, plan)


def write(found: report.Report, out: Path) -> None:
    """The JSON file, the pictures and the page."""
    out.mkdir(exist_ok=True)
    stem = out / "benchmarks"
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    lacking = picture.why_not()
    pictures = [] if lacking else picture.draw(found, stem)
    stem.with_suffix(".md").write_text(paper.page(found, [path.name for path in pictures if path.suffix == ".svg"]))
    if lacking:
        say(lacking)
    say(paper.promises(found["bars"]))
    for key, failed in found["failed"].items():
        for name, why in failed.items():
            say(f"failed in {key}: {name}: {paper.brief(why)}")
    for name, why in found["left_out"].items():
        say(f"left out: {name}: {paper.brief(why)}")
    say(f"wrote {', '.join(path.name for path in sorted(out.glob('benchmarks.*')))} in {found['seconds']} s")


def show_list() -> None:
    """Who can be measured, and what."""
    for each in line_up.everybody():
        print(f"{each.kind:10} {each.name:32} {each.why_not() or ', '.join(sorted(each.can))}")
    for measure in MEASURES:
        print(f"measure    {measure.key:32} {measure.title}")


def say(text: str) -> None:
    """How far it is, for the person who waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
