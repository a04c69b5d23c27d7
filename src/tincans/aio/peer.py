"""The connecting program's async face: `async with connect("alice") as alice: await alice.call.add(2, 5)`.

Rules of this file
- The names and signatures of `tincans.peer`, with `await` (a test compares them).
- A Peer belongs to the event loop on which it was made, and may be used by many tasks at once.
- Nothing here blocks the loop. A Peer outlives lost connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, cast, overload

from tincans.aio.background import in_thread
from tincans.aio.tickets import Ticket
from tincans.aio.verbs import Flag, Lock, Messages, Queue, State
from tincans.aio.waiting import Opening
from tincans.aio.way import AsyncWay, way_of
from tincans.aio.words import Words
from tincans.contracts import Buffer, Note, Policy
from tincans.core.interface import contract as read_contract
from tincans.core.patience import patience
from tincans.finder import method_of
from tincans.peer import CALL_TIMEOUT, CONNECT_TIMEOUT, Caller, check_needs
from tincans.pump.calling import Reading

C = TypeVar("C")


class Peer(Generic[C]):
    """The other program, as this one sees it.

    Use it with `async with`, or `await close()` it. Everything waits at most its timeout and fails at once with
    DisconnectedError when the other program dies.
    """

    def __init__(self, way: AsyncWay, words: Words, timeout: float | None) -> None:
        self._way = way
        self._words = words
        self._timeout = timeout
        self.call = cast(C, Caller(way.call, timeout))
        """Call and wait: `await peer.call.add(2, 5)` or `await peer.call("add", 2, 5)`."""
        self.start: Any = Caller(way.start, timeout)
        """Call and get an asyncio.Future at once: `await peer.start.add(2, 5)`."""
        self.notify: Any = Caller(way.notify, timeout)
        """Call without an answer: `await peer.notify.log("hello")`."""

    @property
    def url(self) -> str:
        """The address, with masked secrets."""
        return self._way.url

    def with_options(
        self, *, timeout: float | Literal["same"] | None = "same", idempotent: bool = False, wait: bool = True
    ) -> Peer[C]:
        """The same peer with another `timeout` (seconds, None: no bound), or whose calls may be repeated safely.

        `await peer.with_options(timeout=1).call.add(2, 5)`. With `wait=False` a call is left for the other program,
        which need not run now, and gives a `Ticket` to ask for the answer with; where the method keeps calls.
        """
        bound = self._timeout if timeout == "same" else patience(timeout)
        other: Peer[C] = Peer(self._way, self._words, bound)
        if not wait:
            other.call = cast(C, Caller(self._leave, other._timeout))
        elif idempotent:
            other.call = cast(C, Caller(self._way.call_again, other._timeout))
        return other

    async def _leave(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None
    ) -> Ticket:
        answers = await self._words.answers()
        return self.ticket(await answers.leave(self._way.written(name, args, kwargs), timeout=timeout), name)

    def ticket(self, id: str, name: str = "") -> Ticket:
        """The ticket of a call that was left earlier, by any program. `name`: the function's, for its type."""

        async def collect(id: str, timeout: float | None) -> list[Buffer] | None:
            return await (await self._words.answers()).collect(id, timeout=timeout)

        return Ticket(id, collect, lambda parts: self._way.answer_in(parts, name))

    def expose(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Let the other program call a function of this one; async ones run on the loop, plain ones on threads."""
        if function is None:
            return lambda f: self.expose(f, **options)
        self._way.expose(function, **options)
        return function

    async def describe(self) -> dict[str, Any]:
        """The other program's functions with types and docs, as plain data."""
        return await self._way.describe(timeout=self._timeout)

    async def publish(self, topic: str, value: Any) -> None:
        """Tell everybody who listens to `topic` now."""
        await self._words.publish(topic, value)

    def subscribe(self, pattern: str, *, limit: int = 10_000, on_full: Policy = "drop_oldest") -> Messages:
        """Listen: `async for note in peer.subscribe("news.*"): ...`. At most `limit` wait for us; see `Messages`."""
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
        """Named values: `await peer.state.set("k", v)`, `await peer.state["k"]`, `peer.state.watch("k")`."""
        return self._words.state

    def flag(self, name: str) -> Flag:
        """A shared boolean in the shape of asyncio.Event."""
        return self._words.flag(name)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        """A lock among all programs: `async with peer.lock("update", timeout=5): ...`."""
        return self._words.lock(name, timeout=timeout)

    async def share(self, array: Any, *, writable: bool = False) -> Any:
        """The same array, buffer or Arrow table in memory that can be passed on without a copy, where the method can.

        Read-only; with `writable=True` all who get it may write to it, and see what the others write. See `empty`.
        """
        self._words.need("share")
        if writable:
            self._words.need_one_memory()
        return await share(array, writable=writable)

    async def close(self) -> None:
        """End the connection; anyone waiting gets ClosedError. May be called twice."""
        self._way.close()
        await self._words.close()

    async def __aenter__(self) -> Peer[C]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Peer {self.url}>"


async def share(array: Any, *, writable: bool = False) -> Any:
    """See `Peer.share`: one copy, made by a thread."""
    from tincans.sharing import share as copy

    return await in_thread(lambda: copy(array, writable=writable))


@overload
def connect(
    url: str,
    contract: None = None,
    *,
    timeout: float = ...,
    call_timeout: float | None = ...,
    needs: Iterable[str] = ...,
    errors: Iterable[type[BaseException]] = ...,
) -> Opening[Peer[Any]]: ...
@overload
def connect(
    url: str,
    contract: type[C],
    *,
    timeout: float = ...,
    call_timeout: float | None = ...,
    needs: Iterable[str] = ...,
    errors: Iterable[type[BaseException]] = ...,
) -> Opening[Peer[C]]: ...


def connect(
    url: str,
    contract: type[Any] | None = None,
    *,
    timeout: float = CONNECT_TIMEOUT,
    call_timeout: float | None = CALL_TIMEOUT,
    needs: Iterable[str] = (),
    errors: Iterable[type[BaseException]] = (),
) -> Opening[Peer[Any]]:
    """Connect to a program that serves `url`, waiting up to `timeout` seconds for it to come.

    `alice = await connect("alice")`, or `async with connect("alice") as alice:` to have it closed as well. The
    parameters and errors are those of `tincans.connect`.

    >>> import asyncio, tincans.aio
    >>> async def main() -> int:
    ...     async with tincans.aio.serve("memory:doc-connect") as alice:
    ...         @alice.expose
    ...         async def add(a: int, b: int) -> int:
    ...             return a + b
    ...         async with tincans.aio.connect("memory:doc-connect") as bob:
    ...             return await bob.call.add(2, 5)
    >>> asyncio.run(main())
    7
    """

    async def make() -> Peer[Any]:
        method = method_of(url)
        check_needs(needs, method.facts, str(method.address))
        types: Mapping[str, Any] = {} if contract is None else read_contract(contract)
        way = way_of(method, Reading(types, {cls.__name__: cls for cls in errors}))
        bound = patience(call_timeout)
        words = Words(lambda: way.board(CONNECT_TIMEOUT), method.facts, way.url, bound)
        try:
            await way.reach(patience(timeout))
        except BaseException:
            way.close()
            raise
        return Peer(way, words, bound)

    return Opening(make)
