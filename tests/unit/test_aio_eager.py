"""Tasks whose first step is taken at once, on every Python."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tincans.aio.execution import eager_task


def test_a_function_starts_at_once_whatever_other_threads_put_into_the_loop() -> None:
    class Crowded(asyncio.SelectorEventLoop):
        """As if another thread were quicker, each time."""

        def create_task(self, *words: Any, **named: Any) -> Any:
            task = super().create_task(*words, **named)
            self.call_soon(order.append, "another thread's")
            return task

    order: list[str] = []

    async def step() -> None:
        order.append("ours")

    loop = Crowded()
    try:
        loop.call_soon(lambda: eager_task(loop, step()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert order[0] == "ours"
    assert "another thread's" in order or sys.version_info >= (3, 12)
