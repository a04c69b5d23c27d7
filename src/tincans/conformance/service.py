"""What Alice offers in the conformance tests: one function for each way to be called.

Rules of this file
- Each function does one thing that a test needs, and nothing of it depends on the method.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tincans

BLOCK = 1024 * 1024


class Alice:
    """The functions, and what they remember between calls."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.closed_generators = 0
        self.times_counted = 0
        self._kept: Callable[..., Any] | None = None
        self._waiting: dict[Any, threading.Event] = {}

    def add(self, a: int, b: int = 10) -> int:
        """Add two numbers.

        Args:
            a: the first one
            b: the second one
        """
        return a + b

    def echo(self, value: Any) -> Any:
        """The very same value."""
        return value

    def sizes(self, *values: Any, **named: Any) -> list[int]:
        """The lengths of some values, positional ones first."""
        return [len(v) for v in (*values, *named.values())]

    def fail(self, kind: str, text: str) -> None:
        """Raise an error of a built-in kind, or of one that the caller cannot know."""
        kinds: dict[str, type[BaseException]] = {
            "ValueError": ValueError, "KeyError": KeyError, "OwnError": OwnError, "SystemExit": SystemExit,
        }  # fmt: skip
        raise kinds[kind](text)

    def sleep(self, seconds: float) -> str:
        """Take long."""
        time.sleep(seconds)
        return "awake"

    async def leave(self, text: str) -> None:
        """End the program, says an async function."""
        raise SystemExit(text)

    async def nap(self, seconds: float) -> str:
        """Take long, without a thread."""
        await asyncio.sleep(seconds)
        return "awake"

    def count(self, n: int) -> Iterator[int]:
        """0, 1, ... n-1, one at a time."""
        try:
            yield from range(n)
        finally:
            self.closed_generators += 1

    async def count_async(self, n: int) -> Any:
        """The same, by an async generator."""
        for i in range(n):
            yield i

    def break_after(self, n: int) -> Iterator[int]:
        """Raise after n elements."""
        yield from range(n)
        raise ValueError("broken on purpose")

    def total(self, numbers: Any) -> int:
        """The sum of a stream."""
        return sum(numbers)

    def apply(self, function: Callable[[int], int], n: int) -> list[int]:
        """Call back n times."""
        return [function(i) for i in range(n)]

    def keep(self, function: Callable[..., Any]) -> None:
        """Keep a function of the caller's for later."""
        self._kept = function

    def use_kept(self, value: Any) -> Any:
        """Call what was kept."""
        assert self._kept is not None
        return self._kept(value)

    def note(self, value: Any) -> None:
        """Remember it."""
        self.log.append(value)

    def note_and_sleep(self, value: Any, seconds: float) -> None:
        """Remember it, then take long."""
        self.log.append(value)
        time.sleep(seconds)

    def note_and_wait(self, value: Any) -> None:
        """Remember it, then wait until it is let go, five seconds at most."""
        until = self._waiting.setdefault(value, threading.Event())
        self.log.append(value)
        until.wait(5)

    def let_go(self, value: Any) -> None:
        """Whoever waits with it need not wait any longer."""
        self._waiting.setdefault(value, threading.Event()).set()

    def noted(self) -> list[Any]:
        """What was remembered."""
        return list(self.log)

    def count_up(self) -> int:
        """How often this was really run."""
        self.times_counted += 1
        return self.times_counted

    def generators_closed(self) -> int:
        """How many `count` generators have ended."""
        return self.closed_generators

    def who(self) -> dict[str, Any]:
        """Who calls."""
        caller = tincans.caller()
        return {"pid": caller.pid, "uid": caller.uid, "key_name": caller.key_name}

    def ask_back(self, name: str, *args: Any) -> Any:
        """Call a function that the caller exposes."""
        return getattr(tincans.caller().call, name)(*args)

    def block(self, size: int) -> bytes:
        """Many bytes."""
        return bytes(size)


class OwnError(Exception):
    """A class that only this program knows."""


IDEMPOTENT = ("count_up",)


def expose_all(server: Any, alice: Alice) -> None:
    """Offer everything."""
    for name in (n for n in dir(alice) if not n.startswith("_")):
        function = getattr(alice, name)
        if callable(function):
            server.expose(function, idempotent=name in IDEMPOTENT)
