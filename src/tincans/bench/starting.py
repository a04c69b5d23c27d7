"""How long `import tincans` takes, in fresh programs.

Rules of this file
- The program itself looks at the clock before and after, so that Python's own start is no part of it.
- The bytecode has been written by a first run, as it is on a user's machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

IMPORT = "from time import perf_counter as p; t = p(); import tincans; print((p() - t) * 1000)"
NAME = "import tincans"
ABOUT = "A fresh program imports the library; the clock is read before and after. In milliseconds."


def import_time(rounds: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Milliseconds, shaped as the other measures are."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:
        environment["PYTHONPYCACHEPREFIX"] = cache
        command = [sys.executable, "-c", IMPORT]
        printed = [subprocess.check_output(command, timeout=60, env=environment) for _ in range(rounds + 1)]
    taken = [float(each) for each in printed[1:]]
    figure = {"value": statistics.median(taken), "best": min(taken), "worst": max(taken), "rounds": taken}
    return {NAME: {"": figure}}
