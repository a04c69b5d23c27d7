"""The serving program's own way to its hub, on its event loop; and a hub that writes to a file without blocking it.

Rules of this file
- Outcomes may come from a thread (a hub with a file); they are handed to the loop.
- Whoever gives up cancels its ticket, and what it was granted at that moment goes back (`Hub.cancel`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from tincans.aio.background import Loop, LoopBackground, Strand, in_thread, on_loop
from tincans.aio.waiting import ElementWaiter, settle, within
from tincans.contracts import Policy
from tincans.core.carried import opened
from tincans.core.messages import Request
from tincans.errors import ClosedError, TincansError, WaitTimeoutError
from tincans.pump.carrying import VALUES, may_be_large, written_down
from tincans.pump.hub_service import HubService
from tincans.pump.link import Link
from tincans.pump.local_hub import LocalElements
from tincans.pump.reactor import reactor
from tincans.toolkit.files.keep import Keep


class LoopHub(HubService):
    """The hub of a program with an event loop. With a file, its work is done by threads, in order."""

    def __init__(self, background: LoopBackground, keep: Keep | None) -> None:
        super().__init__(background if keep is None else reactor(), keep)
        self.loop = background.loop
        self._strand = None if keep is None else Strand(background.loop)

    def _do(self, work: Any, *args: Any) -> None:
        if self._strand is None:
            work(*args)
        else:
            self._strand.submit(lambda: work(*args))

    def request(self, link: Link, request: Request[Any]) -> None:
        self._do(super().request, link, request)

    def cancel(self, ticket: Hashable) -> None:
        self._do(super().cancel, ticket)

    def gone(self, owner: Hashable) -> None:
        self._do(super().gone, owner)

    def ask_soon(self, owner: Hashable, ticket: LoopTicket, name: str, args: tuple[Any, ...]) -> None:
        """Like `ask`, but what goes wrong is told to the ticket."""
        self._do(self._ask, owner, ticket, name, args)

    def _ask(self, owner: Hashable, ticket: LoopTicket, name: str, args: tuple[Any, ...]) -> None:
        try:
            self.ask(owner, ticket, name, args)
        except TincansError as error:
            ticket.failed(error)
        ticket.heard()

    async def finish(self) -> None:
        """Close the file when what was asked before has been done."""
        if self._strand is not None:
            done = self.loop.create_future()
            self._strand.submit(lambda: on_loop(self.loop, done.set_result, None))
            await done
        await in_thread(self.close)


class LoopElements(LocalElements):
    """News for tasks of the serving program itself."""

    def __init__(self, limit: int, policy: Policy, loop: Loop) -> None:
        super().__init__(limit, policy)
        self._loop = loop
        self._waiter = ElementWaiter()

    def add(self, topic: str, value: Any) -> None:
        super().add(topic, value)
        on_loop(self._loop, self._waiter.nudge)

    async def receive_soon(self, *, timeout: float | None) -> Any:
        deadline = None if timeout is None else self._loop.time() + timeout
        while (element := self.receive(timeout=0)) is None:
            left = None if deadline is None else deadline - self._loop.time()
            if not await self._waiter.woken(self._loop, left):
                return None
        return element

    def close(self) -> None:
        super().close()
        self._waiter.nudge()


class LoopTicket:
    """One request of the serving program to its own hub."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._value: Any = None
        self._error: TincansError | None = None
        self._settled: asyncio.Future[bool] = loop.create_future()
        self._heard: asyncio.Future[bool] = loop.create_future()
        self.elements: LoopElements | None = None

    def done(self, value: Any) -> None:
        self._value = value
        on_loop(self._loop, self._settle)

    def failed(self, error: TincansError) -> None:
        self._error = error
        on_loop(self._loop, self._settle)

    def opened(self, limit: int, policy: Policy) -> None:
        self.elements = LoopElements(limit, policy, self._loop)
        on_loop(self._loop, self._settle)

    def news(self, topic: str, value: Any) -> None:
        if self.elements is not None:
            self.elements.add(topic, value)

    def heard(self) -> None:
        """The hub knows of the request."""
        on_loop(self._loop, settle, self._heard)

    def _settle(self) -> None:
        settle(self._settled)

    async def settled(self, timeout: float | None) -> bool:
        """Whether it was settled within `timeout` seconds; with 0, at once."""
        if timeout == 0:
            await self._heard
            return self._settled.done()
        return await within(self._settled, timeout)

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return opened(self._value)


async def written_down_soon(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A large value is copied by a thread; the loop goes on."""
    if name in VALUES and any(map(may_be_large, args[1:2])):
        return await in_thread(lambda: written_down(name, args))
    return args


class LoopAsker:
    """board.Asker for the serving program itself."""

    def __init__(self, hub: LoopHub, owner: object) -> None:
        self._hub = hub
        self._owner = owner

    async def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        ticket = LoopTicket(self._hub.loop)
        self._hub.ask_soon(self._owner, ticket, name, await written_down_soon(name, args))
        try:
            settled = await ticket.settled(timeout)
        except BaseException:
            self._hub.cancel(ticket)
            raise
        if settled:
            return ticket.result()
        self._hub.cancel(ticket)
        if timeout == 0:
            return None
        raise WaitTimeoutError(f"{name[1:]} waited {timeout:g} s in vain.")

    async def tell(self, name: str, *args: Any) -> None:
        self._hub.ask_soon(self._owner, LoopTicket(self._hub.loop), name, await written_down_soon(name, args))

    async def open(self, name: str, *args: Any, timeout: float | None) -> LoopElements:
        ticket = LoopTicket(self._hub.loop)
        self._hub.ask_soon(self._owner, ticket, name, args)
        try:
            await ticket.settled(None)
        except BaseException:
            self._hub.cancel(ticket)
            raise
        ticket.result()
        if ticket.elements is None:
            raise ClosedError(f"The hub opened no stream for {name}.")
        ticket.elements.on_close = lambda: self._hub.cancel(ticket)
        return ticket.elements


class ThreadAsker:
    """pump.hub_board.Asker for threads of the serving program: those of a public protocol."""

    def __init__(self, hub: LoopHub, owner: object) -> None:
        self._loop = hub.loop
        self._asker = LoopAsker(hub, owner)

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        return asyncio.run_coroutine_threadsafe(self._asker.ask(name, *args, timeout=timeout), self._loop).result()

    def tell(self, name: str, *args: Any) -> None:
        asyncio.run_coroutine_threadsafe(self._asker.tell(name, *args), self._loop).result()

    def open(self, name: str, *args: Any, timeout: float | None) -> LocalElements:
        opened = asyncio.run_coroutine_threadsafe(self._asker.open(name, *args, timeout=timeout), self._loop)
        return opened.result()
