"""The async face, driven from a test's thread, so that one test serves both faces.

Rules of this file
- Whatever is awaited there is waited for here; `async for` becomes `for`, `async with` becomes `with`.
- One event loop for the whole run, on a thread of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import tincans.aio

PATIENCE = 60.0
_PLAIN = (type(None), bool, int, float, str, bytes, list, dict, tuple, BaseException)


class Loop:
    """An event loop on a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="conformance-asyncio", daemon=True)
        self._thread.start()

    def wait(self, awaitable: Any) -> Any:
        """Its result."""

        async def settle() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(settle(), self._loop).result(PATIENCE)

    def run(self, function: Any, args: Any = (), kwargs: Any = MappingProxyType({})) -> Any:
        """Call it on the loop; what it gives is awaited if it can be, and driven if it is an object of the face."""

        async def there() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) and not isinstance(result, asyncio.Future) else result

        return self.driven(asyncio.run_coroutine_threadsafe(there(), self._loop).result(PATIENCE))

    def driven(self, value: Any) -> Any:
        """An object of the async face behind the sync words; plain values as they are."""
        module = getattr(value, "__module__", None) or type(value).__module__
        if isinstance(value, _PLAIN) or not (module.startswith("tincans.aio") or isinstance(value, asyncio.Future)):
            return value
        return Driven(self, value)

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


class Driven:
    """One object of the async face."""

    def __init__(self, loop: Loop, inner: Any) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if callable(value) and not isinstance(value, type):
            return Driven(self._loop, value)
        return self._loop.driven(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._loop.run(self._inner, args, kwargs)

    def result(self, timeout: float | None = None) -> Any:
        """A future's."""
        return self._loop.wait(asyncio.wait_for(asyncio.shield(self._inner), timeout))

    def __enter__(self) -> Any:
        return self._loop.run(self._inner.__aenter__)

    def __exit__(self, *exc: Any) -> Any:
        return self._loop.run(self._inner.__aexit__, exc)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.run(self._inner.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __getitem__(self, key: Any) -> Any:
        return self._loop.run(self._inner.__getitem__, (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._loop.run(self._inner.set, (key, value))

    def __delitem__(self, key: Any) -> None:
        self._loop.run(self._inner.delete, (key,))


def connect(loop: Loop, url: str, **options: Any) -> Any:
    """`tincans.aio.connect`, driven."""

    async def there() -> Any:
        return await tincans.aio.connect(url, **options)

    return Driven(loop, loop.wait(there()))
