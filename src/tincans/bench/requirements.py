"""What the extra `bench` asks for, one a line: `python -m tincans.bench.requirements`, for the Makefile.

Rules of this file
- The list stands in pyproject.toml; here it is only read from the installed package.
"""

from __future__ import annotations

import importlib.metadata

EXTRA = "bench"


def requirements() -> list[str]:
    """What would be installed, without the condition that it is for the extra.

    >>> any(each.startswith("pyzmq") for each in requirements())
    True
    """
    found = [each.partition(";") for each in importlib.metadata.requires("tincans") or []]
    return [what.strip() for what, _, condition in found if f'extra == "{EXTRA}"' in condition.replace("'", '"')]


if __name__ == "__main__":
    print("\n".join(requirements()))
