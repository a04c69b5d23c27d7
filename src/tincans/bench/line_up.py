"""Who takes part: our methods, then each file in `peers/` and `yardsticks/`.

Rules of this file
- A file there has `CONTESTANTS`, a tuple; nothing is imported for being looked at but the standard library.
- A program is told whom it plays by a word: the contestant's module and name, so that it imports no other.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import replace

from tincans.bench import peers, yardsticks
from tincans.bench.contestant import Contestant

OURS = "tincans.bench.ours"
BETWEEN = "#"
AT, RUNNING = "at ", "running at "


def everybody() -> list[Contestant]:
    """All contestants, whether they are here or not.

    >>> {"local", "multiprocessing.connection", "one memcpy"} <= {each.name for each in everybody()}
    True
    """
    from tincans.bench import ours

    found = [replace(each, home=OURS) for each in ours.contestants()]
    for room in (peers, yardsticks):
        for home in (module.name for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")):
            found += [replace(each, home=home) for each in importlib.import_module(home).CONTESTANTS]
    return found


def word_for(contestant: Contestant) -> str:
    """What its programs are told."""
    return f"{contestant.home}{BETWEEN}{contestant.name}"


def named(word: str) -> Contestant:
    """The contestant of a word. "at URL" is ours at that URL, "running at URL" a server that runs there already."""
    if word.startswith((AT, RUNNING)):
        from tincans.bench import ours

        return ours.at(word.removeprefix(RUNNING).removeprefix(AT), running=word.startswith(RUNNING))
    home, _, name = word.partition(BETWEEN)
    module = importlib.import_module(home)
    among: Iterable[Contestant] = (module.named(name),) if home == OURS else module.CONTESTANTS
    return next(each for each in among if each.name == name)
