"""What the extra `bench` asks for, one a line: `python -m tincans.bench.requirements`, for the Makefile.

Rules of this file
- The list stands in pyproject.toml; here it is only read from the installed package.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

EXTRA = "bench"


def of_extra(declared: Iterable[str], extra: str = EXTRA) -> list[str]:
    """What would be installed for an extra, without the condition.

    >>> of_extra(['msgspec>=0.19', 'rpyc>=6; extra == "bench"', "rich; extra == 'cli'"])
    ['rpyc>=6']
    """
    found = [each.partition(";") for each in declared]
    return [what.strip() for what, _, condition in found if f'extra == "{extra}"' in condition.replace("'", '"')]


if __name__ == "__main__":
    print("\n".join(of_extra(importlib.metadata.requires("tincans") or [])))
