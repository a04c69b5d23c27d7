"""The serving program's face: `serve("alice")` gives a Server, `@server.expose` offers functions.

Rules of this file
- Sync; `tincans.aio` has the same names and signatures with `await` (a test compares them).
- One service, any number of URLs. Functions run on worker threads, several at the same time.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tincans.contracts import Board, Note, Policy
from tincans.errors import AddressError
from tincans.finder import find_wire
from tincans.pump.host import Host
from tincans.pump.hub_board import hub_board
from tincans.pump.local_hub import LocalAsker
from tincans.pump.server_board import completed, own_board, server_facts
from tincans.toolkit.files.runtime_directory import Registration, register
from tincans.verbs import Flag, Lock, Messages, Queue, State, Words

if TYPE_CHECKING:
    from tincans.toolkit.files.keep import Keep


SLEEP = 3600.0 if hasattr(signal, "set_wakeup_fd") else 0.5
"""Seconds that `run` sleeps at a time."""


class Server:
    """A program that others can reach. `serve` makes it; it listens from the start.

    Use it as a context manager, `run()` it, or `close()` it.
    """

    def __init__(self, urls: tuple[str, ...], host: Host) -> None:
        self._host = host
        self._registration: Registration | None = None
        self._ending = False
        self._asleep = threading.Lock()  # `run` sleeps on it: a signal handler may release it at any moment
        self._asleep.acquire()
        host.on_last_door = self._end_run
        host.dispatcher.reserve("$describe", self.describe)
        opened: list[str] = []
        try:
            with host.setting_up():
                for url in urls:
                    opened.append(host.open(url))
            self._words = Words(self._board, server_facts(host.methods), "this server", None)
            if not all(method.calls for method in host.methods):
                self._words.open()  # there is nothing else that would tell of a wrong place
        except BaseException:
            host.close(drain=0)
            raise
        self.urls = opened
        """Where it can be reached: what to give to `connect`."""
        self._registration = register(host.name or opened[0], opened)

    def _board(self) -> Board:
        methods = self._host.methods
        return completed(hub_board(LocalAsker(self._host.hub, self)), own_board(methods), methods)

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
        Only exposed names can be called: no attributes, no dotted names.
        """
        if function is None:
            return lambda f: self.expose(f, name=name, idempotent=idempotent, safe=safe)
        self._host.dispatcher.expose(function, name=name, idempotent=idempotent, safe=safe)
        return function

    def expose_object(self, thing: Any) -> None:
        """Expose the public functions of a module or the public methods of an object."""
        self._host.dispatcher.expose_object(thing)

    def describe(self) -> dict[str, Any]:
        """The exposed functions with types and docs, as plain data."""
        description: dict[str, Any] = self._host.dispatcher.interface.describe()
        return description

    def publish(self, topic: str, value: Any) -> None:
        """Tell everybody who listens to `topic` now."""
        self._words.publish(topic, value)

    def subscribe(self, pattern: str, *, limit: int = 10_000, on_full: Policy = "drop_oldest") -> Messages:
        """Listen: `for note in server.subscribe("news.*"): ...`. At most `limit` wait for us; see `Messages`."""
        return self._words.subscribe(pattern, limit=limit, on_full=on_full)

    def on(self, pattern: str) -> Callable[[Callable[[Note], Any]], Callable[[Note], Any]]:
        """A decorator: run the function for each note of a topic, on a thread of its own."""

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
        """A queue of jobs: `q.put(x)`, `with q.take() as job:`. `lease` in seconds; see `Queue`."""
        return self._words.queue(
            name, max_items=max_items, on_full=on_full, lease=lease, max_deliveries=max_deliveries, renew=renew
        )

    @property
    def state(self) -> State:
        """Named values: `server.state["k"] = v`, `server.state.watch("k")`."""
        return self._words.state

    def flag(self, name: str) -> Flag:
        """A shared boolean in the shape of threading.Event."""
        return self._words.flag(name)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        """A lock among all programs: `with server.lock("update", timeout=5): ...`."""
        return self._words.lock(name, timeout=timeout)

    def share(self, array: Any, *, writable: bool = False) -> Any:
        """The same array, buffer or Arrow table in memory that can be passed on without a copy, where the method can.

        Read-only; with `writable=True` all who get it may write to it, and see what the others write. See `empty`.
        """
        from tincans.sharing import share

        self._words.need("share")
        return share(array, writable=writable)

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

    def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or `close()`; then let running calls finish, say goodbye and return."""
        self._host.executor.set_up_at = 0.0
        if threading.current_thread() is not threading.main_thread():
            self._host.over.wait()
            return
        before = signal.signal(signal.SIGTERM, lambda number, frame: self._end_run())
        try:
            while not self._ending:
                self._asleep.acquire(True, SLEEP)
        except KeyboardInterrupt:
            pass
        finally:
            self.close()
            signal.signal(signal.SIGTERM, before)

    def close(self, *, drain: float = 5.0) -> None:
        """Stop listening, let running calls finish within `drain` seconds, end all connections. May be called twice."""
        self._words.end_followers()
        if self._registration is not None:
            self._registration.close()
        self._host.close(drain=drain)
        self._words.close()
        self._end_run()

    def _end_run(self) -> None:
        """Let `run` return. Any thread, and a signal handler, may call it."""
        self._ending = True
        try:
            self._asleep.release()
        except RuntimeError:
            pass  # it is awake

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {' '.join(self.urls)}>"


def serve(*urls: str, keep: str | Path | None = None, keys: Mapping[str, str] | None = None) -> Server:
    """Be reachable at `urls` (a bare name, or any method's URL), all of them at once.

    `keep` is a file in which queues and state survive the program (SQLite). `keys` are the keys that callers may
    prove, by name, for methods over a network.

    NameInUseError when a live program serves one of them already; AddressError; DeniedError.
    """
    check_urls(urls)
    path = None if keep is None else os.fspath(keep)
    return Server(urls, Host(name=urls[0], keep=keep_of(path), keys=keys_by_name(keys)))


def check_urls(urls: tuple[str, ...]) -> None:
    """AddressError without any."""
    if not urls:
        raise AddressError("serve() needs at least one address, such as serve('alice').")


def keep_of(path: str | None) -> Keep | None:
    """The file that keeps queues and state, opened; None for no file."""
    if path is None:
        return None
    from tincans.toolkit.files.keep import Keep  # SQLite is loaded by those who keep something

    wire = find_wire("")
    return Keep(path, encode=wire.pack, decode=wire.unpack)


def keys_by_name(keys: Mapping[str, str] | None) -> dict[str, bytes] | None:
    """Keys as the greeting wants them."""
    return None if keys is None else {name: secret.encode() for name, secret in keys.items()}
