"""The verbs other than call, over one board: what a Peer and a Server of the async face hand their users to.

Rules of this file
- The board is made by the first word that needs it, once.
- Refusing a verb, with the reason, is the sync face's own code.
- A follower is one task; a plain function runs on a thread, an async one on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tincans.aio.background import in_thread
from tincans.aio.board import Answers, Board, Subscription
from tincans.aio.verbs import Flag, Lock, Messages, Queue, State
from tincans.contracts import Note, Policy
from tincans.core.log import log
from tincans.core.signature import is_async
from tincans.errors import TincansError
from tincans.facts import Facts
from tincans.verbs import SUBSCRIPTION_LIMIT, Refusals, no_answers


class Words(Refusals):
    """The words over one board."""

    def __init__(self, board: Callable[[], Awaitable[Board]], facts: Facts, url: str, timeout: float | None) -> None:
        super().__init__(facts, url)
        self._make_board = board
        self._making = asyncio.Lock()
        self._made: Board | None = None
        self._timeout = timeout
        self._followers: list[Follower] = []

    async def board(self) -> Board:
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await self._make_board()
        return self._made

    async def close(self) -> None:
        """End the followers; close the method's own board, if one was used."""
        for follower in self._followers:
            await follower.close()
        if self._made is not None:
            await self._made.close()

    async def publish(self, topic: str, value: Any) -> None:
        self.need("publish")
        await (await self.board()).topics.publish(topic, value, timeout=self._timeout)

    def subscribe(self, pattern: str, *, limit: int = SUBSCRIPTION_LIMIT, on_full: Policy = "drop_oldest") -> Messages:
        self.need("publish")

        async def open() -> Subscription:
            topics = (await self.board()).topics
            return await topics.subscribe(pattern, limit=limit, policy=on_full, timeout=self._timeout)

        return Messages(open)

    def queue(self, name: str, **options: Any) -> Queue:
        self.need("queue")
        return Queue(self.board, name, timeout=self._timeout, **options)

    @property
    def state(self) -> State:
        self.need("state")
        return State(self.board, self._timeout)

    def flag(self, name: str) -> Flag:
        self.need("flag")
        return Flag(self.board, name, self._timeout)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        self.need("lock")
        return Lock(self.board, name, timeout)

    async def answers(self) -> Answers:
        """The calls left for later; UnsupportedError where the method keeps none."""
        self.need("call")
        found = (await self.board()).answers
        if found is None:
            raise no_answers(self._url)
        return found

    def follow(self, pattern: str, function: Callable[[Note], object]) -> None:
        self._followers.append(Follower(self.subscribe(pattern), pattern, function))


class Follower:
    """Runs a function for each note of a topic, one at a time, also after the other end came back."""

    def __init__(self, messages: Messages, pattern: str, function: Callable[[Note], object]) -> None:
        self._messages = messages
        self._pattern = pattern
        self._function = function
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                note = await self._messages.receive()
            except TincansError as error:
                if not error.temporary:
                    return
                log().warning("The subscription to %s was cut and is made again: %s", self._pattern, error)
                await asyncio.sleep(0.05)
                continue
            try:
                await self._call(note)
            except Exception:
                log().exception("The function for the topic %s raised.", self._pattern)

    async def _call(self, note: Note) -> None:
        if is_async(self._function):
            result: Any = self._function(note)
        else:
            result = await in_thread(partial(self._function, note))
        if hasattr(result, "__await__"):
            await result

    async def close(self) -> None:
        """No more of it."""
        self._task.cancel()
        await self._messages.close()
