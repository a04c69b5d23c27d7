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

PLAIN = [CORE / name for name in ("plain.c", "plain_array.c", "plain_fits.c", "frames.c")]


def part(name: str, sources: list[Path]) -> Extension:
    """One compiled module of the core."""
    return Extension(
        f"tincans._speed.{name}",
        sources=sorted(path.as_posix() for path in sources),
        depends=sorted(path.as_posix() for path in CORE.glob("*.h")),
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
        optional=True,
    )


modules = [part("_ring", [path for path in CORE.glob("*.c") if path not in PLAIN]), part("_plain", PLAIN)]
wanted = sys.platform == "linux" and os.environ.get("TINCANS_PURE", "") in ("", "0")

setup(ext_modules=modules if wanted else [])
