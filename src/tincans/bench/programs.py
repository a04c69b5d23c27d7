"""Programs as the measuring one sees them: started, told what to do, and ended.

Rules of this file
- Every wait has an end. A program that does not answer, or dies, is a `Failure` with its last words.
- Each is in a session of its own, so that Ctrl-C reaches only the measuring program, which then ends them all.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

STARTING = 60.0
"""Seconds; all programs of a run start at the same time."""
ANSWERING = 60.0
ENDING = 3.0


class Failure(Exception):
    """A program of a contestant did not do what it was told; the text says what it said last."""


class Partly(Failure):
    """It did some of it: the figures so far, and why there are no more."""

    def __init__(self, figures: Mapping[str, dict[str, float]], why: str) -> None:
        super().__init__(why)
        self.figures = figures


def runtime_of(place: Path) -> Path:
    """The runtime directory of those who have nothing to do with the user's own programs."""
    return place / "run"


class Program:
    """One program of a contestant."""

    def __init__(self, role: str, contestant: str, place: Path, number: int = 0, *, quiet: bool = True) -> None:
        self.role = role
        self._complaints = place / f"{role}{number}.stderr"
        command = [sys.executable, "-m", f"tincans.bench.{role}", contestant, str(place)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if quiet:
            environment["TINCANS_RUNTIME_DIR"] = str(runtime_of(place))
        with self._complaints.open("wb") as complaints:
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=place if quiet else None,  # the address of a user may be a path from where she is
                env=environment,
                start_new_session=True,
            )
        self._selector = selectors.DefaultSelector()
        assert self._program.stdout is not None
        self._selector.register(self._program.stdout, selectors.EVENT_READ)
        self._heard = b""
        self._ready = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._program.pid

    def started(self) -> None:
        """Wait until it is ready; at once when it was already."""
        if not self._ready:
            self.answer(timeout=STARTING)
            self._ready = True

    def ask(self, do: str, *, timeout: float = ANSWERING, **order: Any) -> dict[str, Any]:
        """Tell it something and wait for the answer."""
        self.tell(do, **order)
        return self.answer(timeout=timeout)

    def tell(self, do: str, **order: Any) -> None:
        """Tell it something."""
        assert self._program.stdin is not None
        try:
            self._program.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            self._program.stdin.flush()
        except OSError:
            raise Failure(self._last_words()) from None

    def answer(self, *, timeout: float = ANSWERING) -> dict[str, Any]:
        """Its next answer."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._heard:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise Failure(f"no answer in {timeout:g} s. {self._last_words()}")
            assert self._program.stdout is not None
            data = os.read(self._program.stdout.fileno(), 65536)
            if not data:
                raise Failure(self._last_words())
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise Failure(told["error"])
        return told

    def _last_words(self) -> str:
        said = self._complaints.read_text(encoding="utf-8", errors="replace").strip()
        return said.rpartition("\n")[2] or "it said nothing"

    def leave(self) -> None:
        """Ask it to end, by ending its stdin."""
        with contextlib.suppress(OSError):
            assert self._program.stdin is not None
            self._program.stdin.close()

    def gone(self, seconds: float) -> None:
        """Wait that long for its end, then make it end; its own children too."""
        try:
            self._program.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._program.pid, signal.SIGKILL)  # its session: also what it started itself
            self._program.wait()
            self._selector.close()
            assert self._program.stdout is not None
            self._program.stdout.close()


def end(programs: Iterable[Program]) -> None:
    """End them all; they have the time together, not one after the other."""
    leaving = list(programs)
    for program in leaving:
        program.leave()
    deadline = time.monotonic() + ENDING
    for program in leaving:
        program.gone(max(0.0, deadline - time.monotonic()))
