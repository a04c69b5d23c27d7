"""Who takes part: our methods, then each file in `peers/` and `yardsticks/`.

Rules of this file
- A file there has `CONTESTANTS`, a tuple; nothing is imported for being looked at but the standard library.
"""

from __future__ import annotations

import importlib
import pkgutil

from tincans.bench import ours, peers, yardsticks
from tincans.bench.contestant import Contestant

AT, RUNNING = "at ", "running at "


def everybody() -> list[Contestant]:
    """All contestants, whether they are here or not.

    >>> {"local", "multiprocessing.connection", "one memcpy"} <= {each.name for each in everybody()}
    True
    """
    found = ours.contestants()
    for room in (peers, yardsticks):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            found += importlib.import_module(module.name).CONTESTANTS
    return found


def named(name: str) -> Contestant:
    """One of them. "at URL" is ours at that URL, "running at URL" a server that runs there already."""
    if name.startswith(RUNNING):
        return ours.at(name.removeprefix(RUNNING), running=True)
    if name.startswith(AT):
        return ours.at(name.removeprefix(AT))
    return {each.name: each for each in everybody()}[name]
