"""How long `import tincans` takes, in fresh programs.

Rules of this file
- The program itself looks at the clock before and after, so that Python's own start is no part of it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

IMPORT = "from time import perf_counter as p; t = p(); import tincans; print((p() - t) * 1000)"
NAME = "import tincans"
ABOUT = "A fresh program imports the library; the clock is read before and after. In milliseconds."


def import_time(rounds: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Milliseconds, shaped as the other measures are."""
    taken = [float(subprocess.check_output([sys.executable, "-c", IMPORT], timeout=60)) for _ in range(rounds + 1)][1:]
    figure = {"value": statistics.median(taken), "best": min(taken), "worst": max(taken), "rounds": taken}
    return {NAME: {"": figure}}
