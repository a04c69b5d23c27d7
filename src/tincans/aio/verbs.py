"""The words of the verbs, awaited: queues and jobs, state, flags, locks, subscriptions.

Rules of this file
- The names and signatures of `tincans.verbs`, with `await`, `async for` and `async with` (a test compares them).
- What Python cannot await (`state["k"] = v`, `len(q)`) has a method instead, and says so when it is tried.
- Every wait takes `timeout` in seconds; None waits as long as the other end lives. A cancelled wait leaves nothing
  behind: no job on lease, no lock held.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any, NoReturn

from tincans.aio.board import Board, Queues, Subscription, Values
from tincans.aio.waiting import Opening
from tincans.contracts import Delivery, Policy
from tincans.core.patience import patience
from tincans.errors import LeaseLostError, TincansError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.verbs import FLAG_PREFIX, LEASE, MAX_DELIVERIES

Boards = Callable[[], Awaitable[Board]]


class Messages:
    """A subscription: `async for note in peer.subscribe(topic)`, or `async with` to be sure that it is closed.

    It is opened when it is awaited, entered or first iterated. When the other end dies a waiting iteration raises
    DisconnectedError at once; iterating again subscribes again when it is back, and the first note after the gap has
    `missed=None`.
    """

    def __init__(self, open: Callable[[], Coroutine[Any, Any, Subscription]]) -> None:
        self._open = open
        self._opening = asyncio.Lock()
        self._subscription: Subscription | None = None

    @property
    def dropped(self) -> int:
        """How many were lost so far because this program was slow."""
        return 0 if self._subscription is None else self._subscription.dropped

    async def _opened(self) -> Subscription:
        if self._subscription is None:
            async with self._opening:
                if self._subscription is None:
                    self._subscription = await self._open()
        return self._subscription

    async def receive(self, *, timeout: float | None = None) -> Any:
        """The next one; WaitTimeoutError when none came within `timeout` seconds."""
        subscription = self._subscription or await self._opened()
        element = await subscription.receive(timeout=patience(timeout))
        if element is None:
            raise WaitTimeoutError(f"Nothing came within {timeout:g} s.")
        return element

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.receive()

    async def close(self) -> None:
        """End it."""
        if self._subscription is not None:
            self._subscription.close()

    def __await__(self) -> Generator[Any, None, Messages]:
        yield from self._opened().__await__()
        return self

    async def __aenter__(self) -> Messages:
        await self._opened()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class Job:
    """A job on lease: `async with` acknowledges it at the end of the block, or gives it back when the block raises.

    The lease is renewed while the block runs, and as long as anybody holds this object. `deliveries` is 1 the first
    time; a job that is delivered too often goes to the queue's dead letters.
    """

    def __init__(self, queues: Queues, delivery: Delivery, timeout: float | None, *, renew: bool = True) -> None:
        self._queues = queues
        self._delivery = delivery
        self._timeout = timeout
        self.value = delivery.value
        self.deliveries = delivery.deliveries
        self._settled = False
        self._renewing: asyncio.Task[None] | None = None
        if renew:
            renewing = _keep_renewing(weakref.ref(self), delivery.lease / 3)
            self._renewing = asyncio.get_running_loop().create_task(renewing)

    async def _renew(self) -> None:
        await self._queues.renew(self._delivery, timeout=self._delivery.lease / 3)

    def _settle(self) -> None:
        self._settled = True
        if self._renewing is not None:
            self._renewing.cancel()

    async def done(self) -> None:
        """Acknowledge: it is never delivered again. LeaseLostError when somebody else may have it by now."""
        self._settle()
        await self._queues.acknowledge(self._delivery, timeout=self._timeout)

    async def give_back(self, *, delay: float = 0.0) -> None:
        """Let somebody (or us) take it again, after `delay` seconds."""
        self._settle()
        await self._queues.give_back(self._delivery, delay=delay, timeout=self._timeout)

    async def __aenter__(self) -> Job:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._settled:
            return
        if kind is None:
            await self.done()
            return
        try:
            await self.give_back()
        except TincansError:
            pass  # the block's own error matters more; the lease ends by itself


async def _keep_renewing(job: weakref.ref[Job], every: float) -> None:
    wait = every
    while True:
        await asyncio.sleep(wait)
        held = job()
        if held is None:
            return
        wait = every
        try:
            await held._renew()
        except WaitTimeoutError:
            wait = every / 10  # a third of the lease is left
        except TincansError:
            return  # acknowledging will say that the lease is lost
        del held


class Queue:
    """Jobs for one taker each.

    `max_items` and `on_full` ("wait", "drop_oldest", "refuse") bound it for what this program puts.
    """

    def __init__(
        self,
        board: Boards,
        name: str,
        *,
        max_items: int | None = None,
        on_full: Policy = "wait",
        lease: float = LEASE,
        max_deliveries: int = MAX_DELIVERIES,
        renew: bool = True,
        timeout: float | None = 30.0,
    ) -> None:
        self._board = board
        self.name = name
        self._max_items = max_items
        self._on_full = on_full
        self._lease = lease
        self._max_deliveries = max_deliveries
        self._renew = renew
        self._timeout = timeout

    async def put(self, value: Any, *, delay: float = 0.0, timeout: float | None = None) -> None:
        """Add a job; returns when it is safely there. FullError or WaitTimeoutError when it is not."""
        await (await self._board()).queues.put(
            self.name,
            value,
            limit=self._max_items,
            policy=self._on_full,
            delay=delay,
            timeout=self._timeout if timeout is None else patience(timeout),
        )

    def take(self, *, timeout: float | None = None) -> Opening[Job]:
        """The next job: `async with q.take() as job`, or `job = await q.take()`.

        It waits at most `timeout` seconds (None: as long as the other end lives); WaitTimeoutError.
        """
        return Opening(lambda: self._take(timeout))

    async def _take(self, timeout: float | None) -> Job:
        queues = (await self._board()).queues
        delivery = await queues.take(
            self.name, lease=self._lease, max_deliveries=self._max_deliveries, timeout=patience(timeout)
        )
        if delivery is None:
            raise WaitTimeoutError(f"No job in {self.name!r} within {timeout or 0:g} s.")
        return Job(queues, delivery, self._timeout, renew=self._renew)

    async def __aiter__(self) -> AsyncIterator[Job]:
        while True:
            yield await self._take(None)

    def __len__(self) -> NoReturn:
        raise TypeError("The length of a queue must be awaited: `await queue.count()`.")

    def __bool__(self) -> bool:
        return True

    async def count(self) -> int:
        """How many jobs wait to be taken."""
        return await (await self._board()).queues.count(self.name, timeout=self._timeout)

    @property
    def dead(self) -> Queue:
        """The dead letters: jobs that were delivered too often without being acknowledged."""
        return Queue(self._board, f"{self.name}.dead", lease=self._lease, timeout=self._timeout)


class State:
    """Named values: `await state["k"]`, `await state.set("k", v)`, `await state.delete("k")`, `state.watch("k")`."""

    def __init__(self, board: Boards, timeout: float | None = 30.0) -> None:
        self._board = board
        self._timeout = timeout

    async def _values(self) -> Values:
        return (await self._board()).values

    async def __getitem__(self, key: str) -> Any:
        change = await (await self._values()).get(key, timeout=self._timeout)
        if change is None:
            raise KeyError(key)
        return change.value

    def __setitem__(self, key: str, value: Any) -> NoReturn:
        raise TypeError(f"Setting must be awaited: `await state.set({key!r}, value)`.")

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(f"Deleting must be awaited: `await state.delete({key!r})`.")

    def __contains__(self, key: object) -> NoReturn:
        raise TypeError(f"Looking must be awaited: `{key!r} in await state.keys()`.")

    def __len__(self) -> NoReturn:
        raise TypeError("Counting must be awaited: `len(await state.keys())`.")

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> NoReturn:
        raise TypeError("Iterating must be awaited: `async for key in state`.")

    async def __aiter__(self) -> AsyncIterator[str]:
        for key in await self.keys():
            yield key

    async def keys(self) -> list[str]:
        """All keys, without those of flags."""
        keys = await (await self._values()).keys(timeout=self._timeout)
        return [k for k in keys if not k.startswith(FLAG_PREFIX)]

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        change = await (await self._values()).get(key, timeout=self._timeout)
        return default if change is None else change.value

    async def set(self, key: str, value: Any) -> None:
        """Give the key a value; the last one to do so wins."""
        await (await self._values()).set(key, value, timeout=self._timeout)

    async def delete(self, key: str) -> bool:
        """Take the key's value away; False when it had none."""
        return await (await self._values()).delete(key, timeout=self._timeout)

    def watch(self, key: str) -> Messages:
        """Changes of one key as `Change`s (key, value, version, deleted); the present value comes first."""

        async def open() -> Subscription:
            return await (await self._values()).watch(key, timeout=self._timeout)

        return Messages(open)


class Flag:
    """A boolean shared by programs, in the shape of `asyncio.Event`."""

    def __init__(self, board: Boards, name: str, timeout: float | None = 30.0) -> None:
        self._board = board
        self._key = FLAG_PREFIX + name
        self._timeout = timeout

    async def set(self) -> None:
        """Make it true, and wake everybody who waits for that."""
        await (await self._board()).values.set(self._key, True, timeout=self._timeout)

    async def clear(self) -> None:
        """Make it false."""
        await (await self._board()).values.set(self._key, False, timeout=self._timeout)

    async def is_set(self) -> bool:
        """Whether it is true; a flag that nobody set is not."""
        change = await (await self._board()).values.get(self._key, timeout=self._timeout)
        return change is not None and bool(change.value)

    async def wait(self, timeout: float | None = None) -> bool:
        """Until it is set; False when `timeout` seconds have passed first."""
        deadline = deadline_of(timeout)
        watch = await (await self._board()).values.watch(self._key, timeout=self._timeout)
        try:
            while True:
                left = left_of(deadline)
                change = await watch.receive(timeout=left)
                if change is None:
                    return False
                if change.value and not change.deleted:
                    return True
        finally:
            watch.close()


_holders = itertools.count(1)


class Lock:
    """One holder at a time among all programs: `async with p.lock("update", timeout=5) as lock:`.

    Released when the block ends and when the holder's program or connection dies; never by age. `token` grows with
    each grant, so that whoever is written to can refuse an older holder.
    """

    def __init__(self, board: Boards, name: str, timeout: float | None = None) -> None:
        self._board = board
        self.name = name
        self.timeout = patience(timeout)
        self.token: int | None = None
        self._owner = ""

    async def acquire(self, *, timeout: float | None = None) -> bool:
        """True when we hold it; False when `timeout` seconds have passed first."""
        owner = f"task-{next(_holders)}"
        locks = (await self._board()).locks
        token = await locks.acquire(self.name, owner, timeout=self.timeout if timeout is None else patience(timeout))
        if token is None:
            return False
        self.token, self._owner = token, owner
        return True

    async def release(self) -> None:
        """LeaseLostError when we did not hold it (any more)."""
        if self.token is None:
            raise LeaseLostError(f"The lock {self.name!r} is not held by this object.")
        self.token = None
        await (await self._board()).locks.release(self.name, self._owner, timeout=30.0)

    async def __aenter__(self) -> Lock:
        if not await self.acquire():
            raise WaitTimeoutError(f"The lock {self.name!r} was not free within {self.timeout or 0:g} s.")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            await self.release()
        except TincansError:
            if kind is None:
                raise
