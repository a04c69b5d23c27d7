"""The serving program's async face: `alice = await serve("alice")`, `@alice.expose`, `await alice.run()`.

Rules of this file
- The names and signatures of `tincans.server`, with `await` (a test compares them).
- Async functions run on the loop, plain ones on threads, several at the same time.
- A Server belongs to the event loop on which it was made; nothing here blocks that loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tincans.aio.background import in_thread
from tincans.aio.board import Board
from tincans.aio.host import AsyncHost
from tincans.aio.local_hub import LoopAsker
from tincans.aio.native_board import server_board
from tincans.aio.peer import share
from tincans.aio.verbs import Flag, Lock, Messages, Queue, State
from tincans.aio.waiting import Opening
from tincans.aio.words import Words
from tincans.contracts import Note, Policy
from tincans.pump.server_board import own_board, server_facts
from tincans.server import check_urls, keep_of, keys_by_name
from tincans.toolkit.files.runtime_directory import Registration, register


class Server:
    """A program that others can reach. `serve` makes it; it listens from the start.

    Use it with `async with`, `await run()` it, or `await close()` it.
    """

    def __init__(self, host: AsyncHost) -> None:
        self._host = host
        self._registration: Registration | None = None
        self._words: Words  # made by `_open`, when the methods are known
        self.urls: list[str] = []
        """Where it can be reached: what to give to `connect`."""
        host.dispatcher.reserve("$describe", self._describe)

    async def _open(self, urls: tuple[str, ...]) -> None:
        try:
            with self._host.setting_up():
                for url in urls:
                    self.urls.append(await self._host.open_soon(url))
            self._words = Words(self._board, server_facts(self._host.methods), "this server", None)
            if not all(method.calls for method in self._host.methods):
                await self._words.board()  # there is nothing else that would tell of a wrong place
            name = self._host.name or self.urls[0]
            self._registration = await in_thread(lambda: register(name, self.urls), discard=lambda made: made.close())
        except BaseException:
            await self._host.finish(drain=0)
            raise

    async def _board(self) -> Board:
        methods = self._host.methods
        own = await in_thread(lambda: own_board(methods), long=True)
        return server_board(LoopAsker(self._host.hub, self), own, methods)

    @property
    def url(self) -> str:
        """The first of `urls`."""
        return self.urls[0]

    def expose(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        idempotent: bool = False,
        safe: bool = False,
    ) -> Any:
        """Let other programs call a function; a decorator, with or without options.

        `idempotent`: it may be repeated after a lost connection. `safe`: it changes nothing (GET over HTTP).
        Async functions and generators run on the loop, plain ones on threads.
        """
        if function is None:
            return lambda f: self.expose(f, name=name, idempotent=idempotent, safe=safe)
        self._host.dispatcher.expose(function, name=name, idempotent=idempotent, safe=safe)
        return function

    def expose_object(self, thing: Any) -> None:
        """Expose the public functions of a module or the public methods of an object."""
        self._host.dispatcher.expose_object(thing)

    def _describe(self) -> dict[str, Any]:
        description: dict[str, Any] = self._host.dispatcher.interface.describe()
        return description

    async def describe(self) -> dict[str, Any]:
        """The exposed functions with types and docs, as plain data."""
        return self._describe()

    async def publish(self, topic: str, value: Any) -> None:
        """Tell everybody who listens to `topic` now."""
        await self._words.publish(topic, value)

    def subscribe(self, pattern: str, *, limit: int = 10_000, on_full: Policy = "drop_oldest") -> Messages:
        """Listen: `async for note in server.subscribe("news.*"): ...`. At most `limit` wait for us; see `Messages`."""
        return self._words.subscribe(pattern, limit=limit, on_full=on_full)

    def on(self, pattern: str) -> Callable[[Callable[[Note], Any]], Callable[[Note], Any]]:
        """A decorator: run the function for each note of a topic, in a task; a plain function on a thread.

        It listens from the task's first turn on. To be sure that nothing is missed, enter `subscribe` instead.
        """

        def follow(function: Callable[[Note], Any]) -> Callable[[Note], Any]:
            self._words.follow(pattern, function)
            return function

        return follow

    def queue(
        self,
        name: str,
        *,
        max_items: int | None = None,
        on_full: Policy = "wait",
        lease: float = 30.0,
        max_deliveries: int = 5,
        renew: bool = True,
    ) -> Queue:
        """A queue of jobs: `await q.put(x)`, `async with q.take() as job:`. `lease` in seconds; see `Queue`."""
        return self._words.queue(
            name, max_items=max_items, on_full=on_full, lease=lease, max_deliveries=max_deliveries, renew=renew
        )

    @property
    def state(self) -> State:
        """Named values: `await server.state.set("k", v)`, `await server.state["k"]`, `server.state.watch("k")`."""
        return self._words.state

    def flag(self, name: str) -> Flag:
        """A shared boolean in the shape of asyncio.Event."""
        return self._words.flag(name)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        """A lock among all programs: `async with server.lock("update", timeout=5): ...`."""
        return self._words.lock(name, timeout=timeout)

    async def share(self, array: Any, *, writable: bool = False) -> Any:
        """The same array, buffer or Arrow table in memory that can be passed on without a copy, where the method can.

        Read-only; with `writable=True` all who get it may write to it, and see what the others write. See `empty`.
        """
        self._words.need("share")
        return await share(array, writable=writable)

    def asgi(
        self,
        *,
        max_message: int = 16 * 1024 * 1024,
        call_timeout: float = 30.0,
        client_timeout: float = 20.0,
        cors: tuple[str, ...] = (),
    ) -> Any:
        """What is exposed as an ASGI application, to be mounted in a web application: `app.mount("/api", s.asgi())`.

        It answers what `http://` answers: REST, OpenAPI, JSON-RPC, XML-RPC, events, and our own clients at the URL
        where it is mounted. `max_message` in bytes, the timeouts in seconds; `cors`: the origins whose pages may call,
        "*" for all. Callers must show a key when `serve` was given `keys`.
        """
        return self._host.asgi(
            max_message=max_message, call_timeout=call_timeout, client_timeout=client_timeout, cors=cors
        )

    async def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or `close()`; then let running calls finish, say goodbye and return."""
        self._host.executor.set_up_at = 0.0
        stop = asyncio.Event()
        try:
            with _stopped_by_signals(stop):
                ended, stopped = asyncio.ensure_future(self._host.ended.wait()), asyncio.ensure_future(stop.wait())
                try:
                    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ended.cancel()
                    stopped.cancel()
        finally:
            await self.close()

    async def close(self, *, drain: float = 5.0) -> None:
        """Stop listening, let running calls finish within `drain` seconds, end all connections. May be called twice."""
        registration, self._registration = self._registration, None
        if registration is not None:
            await in_thread(registration.close)
        await self._words.close()
        await self._host.finish(drain=drain)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Server {' '.join(self.urls)}>"


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C set `stop` instead, where the loop runs in the main thread; a second one does what it did."""
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, stop.set)
            before[number] = handler
    except (ValueError, RuntimeError, NotImplementedError):
        pass  # not the main thread: signals are somebody else's business
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def serve(*urls: str, keep: str | Path | None = None, keys: Mapping[str, str] | None = None) -> Opening[Server]:
    """Be reachable at `urls` (a bare name, or any method's URL), all of them at once.

    `alice = await serve("alice")`, or `async with serve("alice") as alice:` to have it closed as well. The parameters
    and errors are those of `tincans.serve`.

    >>> async def main() -> str:
    ...     async with serve("memory:doc-serve") as alice:
    ...         return alice.url
    >>> asyncio.run(main())
    'memory:doc-serve'
    """

    async def make() -> Server:
        check_urls(urls)
        loop = asyncio.get_running_loop()

        def host() -> AsyncHost:
            path = None if keep is None else os.fspath(keep)
            return AsyncHost(loop, name=urls[0], keep=keep_of(path), keys=keys_by_name(keys))

        server = Server(await in_thread(host, long=True))
        await server._open(urls)
        return server

    return Opening(make)
