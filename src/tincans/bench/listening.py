"""How a program of the benchmark is told what to do: lines of JSON on stdin, one line of JSON for each on stdout.

Rules of this file
- stdout is for answers only; what a library prints goes to stderr.
- A program dies with the one that started it, even when it hangs and that one was killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, linux/prctl.h


def die_with_parent() -> None:
    """The kernel ends this program when the one that started it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


class Orders:
    """The two ends of the conversation with the measuring program."""

    def __init__(self) -> None:
        self._heard = os.fdopen(os.dup(0), "r")
        self._said = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        die_with_parent()

    def answer(self, told: dict[str, Any]) -> None:
        """One line; nobody who listens any more is no fault."""
        with contextlib.suppress(BrokenPipeError):
            self._said.write(json.dumps(told) + "\n")
            self._said.flush()

    def obey(self, do: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Do what is said until nothing is said any more; what goes wrong is the answer."""
        for line in self._heard:
            try:
                told = do(json.loads(line))
            except Exception as error:
                traceback.print_exc()
                told = {"error": f"{type(error).__name__}: {error}"}
            self.answer(told)
