"""Builds the optional C core in `src/tincans/_speed`; everything else about the package is in pyproject.toml.

Rules of this file
- A build that fails must not fail the install: without the core, `local` goes through Unix sockets.
- `TINCANS_PURE=1` leaves the core out on purpose.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("src/tincans/_speed")

core = Extension(
    "tincans._speed._core",
    sources=sorted(path.as_posix() for path in CORE.glob("*.c")),
    depends=sorted(path.as_posix() for path in CORE.glob("*.h")),
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
    optional=True,
)
wanted = sys.platform == "linux" and os.environ.get("TINCANS_PURE", "") in ("", "0")

setup(ext_modules=[core] if wanted else [])
