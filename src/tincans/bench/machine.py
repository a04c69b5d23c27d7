"""What kind of machine the figures come from: enough to compare, nothing that names it.

Rules of this file
- No host name, no path, no user.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tincans.version import VERSION


def description(libraries: Iterable[str] = ()) -> dict[str, Any]:
    """The machine, the Python, and the versions of these modules' packages.

    >>> sorted(description())
    ['kernel', 'libraries', 'load', 'measured', 'memory', 'processors', 'python', 'tincans']
    """
    return {
        "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processors": f"{len(os.sched_getaffinity(0))} x {processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "tincans": VERSION,
        "load": round(os.getloadavg()[0], 2),
        "libraries": versions(libraries),
    }


def processor() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that bring these modules.

    >>> versions(["msgspec"]).keys()
    dict_keys(['msgspec'])
    """
    packages = importlib.metadata.packages_distributions()
    found = {package for module in modules for package in packages.get(module, []) if module in sys.modules or package}
    return {package: importlib.metadata.version(package) for package in sorted(found)}
