"""One live connection on an event loop: the loop receives, tasks wait.

Rules of this file
- Receiving, handling and sending happen on the loop, with no thread in between where the connection has a descriptor.
- What a message means is the pump's Link; only who reads, who waits and how to send is different here.
- Threads (those that run plain functions) may use `send`, `post`, `reply` and `wait` as in the sync face: what they
  say is handed to the loop.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from asyncio import _get_running_loop as running_loop
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from tincans.aio.background import LoopBackground, on_loop
from tincans.aio.flows import AsyncIncoming
from tincans.aio.outbox import STRING_ERRORS, Entry, Outbox, weigh
from tincans.aio.references import AsyncReferences
from tincans.contracts import Buffer, Connection, Wire
from tincans.core.log import log
from tincans.core.messages import Message, Reply, Request
from tincans.core.sizes import too_large
from tincans.errors import ProtocolError, TincansError
from tincans.pump.execution import PlainRequest
from tincans.pump.link import Link
from tincans.pump.owner import Owner
from tincans.pump.reactor import spawn
from tincans.pump.waiter import Waiting
from tincans.toolkit.descriptor_reader import useful_spin

AT_ONCE = 64
"""Messages handled before other tasks get their turn."""

LOOK = 30e-6
"""Seconds: about what the loop needs to go to sleep and wake again."""

LOOKS_IN_A_ROW = 16
MOST_MISSES = 6
BURST = 3
"""With more calls open than this, both ways, a short message waits for the loop's next turn: others may join it."""


class AsyncOwner(Owner, Protocol):
    """Who made the link, on an event loop."""

    def execute_plain(self, link: AsyncLink, found: PlainRequest) -> bool:
        """Run a plain request in few steps. False: it is not for an async function, or not as it should be."""
        ...


class AsyncLink(Link):
    """A connection, its session, and the tasks that meet there."""

    owner: AsyncOwner

    def __init__(
        self, connection: Connection, wire: Wire, owner: AsyncOwner, background: LoopBackground, *, connecting: bool
    ) -> None:
        super().__init__(connection, wire, owner, background, connecting=connecting)
        self.loop = background.loop
        self.tasks = background
        self.references = AsyncReferences(self)
        self.read_any = wire.reader(Any, self.references)
        self.reading.acquire(False)  # for good: no thread is to receive on this link
        # A descriptor that changes, or that only says what may be received, cannot tell when more may be sent.
        in_memory = hasattr(connection, "prepare_wait")
        apart = in_memory or getattr(connection, "sends_apart", False)
        self.outbox = Outbox(self, None if apart else self._fd)
        self.looks = in_memory and useful_spin(LOOK) > 0
        self._looks = self._misses = self._skips = 0
        self._looks_soon = self._answered = self._arms_soon = False
        self._accepting = not connecting
        self._handed: deque[list[Buffer]] = deque()
        self._watched = False
        self._paused = False

    def know_connection(self) -> None:
        super().know_connection()
        self.sends_whole = False  # whatever is not sent at once goes through the outbox
        self._push: Callable[[bytes], bool] | None = None
        if self.quick is not None:
            if self.quick.line is not None:
                self._push = self.quick.send
            self.quick.line = self.quick.flow = None  # and no thread receives

    def on_loop(self) -> bool:
        """Whether the caller runs on this link's loop."""
        return running_loop() is self.loop

    # -- sending -------------------------------------------------------------------------------------------------

    def put_out(self, message: Message) -> Entry | None:
        """Send if possible: None when it has left, else its entry in the outbox. On the loop only.

        DisconnectedError or ClosedError (nothing was sent), UnsendableError, TooLargeError.
        """
        if self.turns is not None and not self.turns.may_send(message):
            return None
        parts = self.wire.encode(message, self.references)
        if self.turns is not None:
            self.turns.asked(message)
        return self.put_out_parts(parts)

    def put_out_plain(self, data: bytes) -> Entry | None:
        """The same for a plain message of the C core, which goes straight into a ring if it can."""
        try:
            if self._push is not None and self._nothing_waits() and self._push(data):
                return None
        except STRING_ERRORS as error:
            self.lost(error)
            raise self.gone("not_sent") from error
        return self.put_out_parts([data])

    def _nothing_waits(self) -> bool:
        """Whether a message may be sent before all others, and by itself."""
        owes_word = self.quick is not None and self.quick.string.owes_word
        return not (self.dead or self._handed or self.outbox.busy or owes_word or self._is_burst())

    def put_out_parts(self, parts: list[Buffer]) -> Entry | None:
        """The same for a message that is encoded already."""
        if self.dead is not None:
            raise self.gone("not_sent")
        if self._handed:
            self._post_handed()
        try:
            if self._is_burst() and self.outbox.cork(parts):
                return None
            return self.outbox.add(parts)
        except STRING_ERRORS as error:
            self.lost(error)
            raise self.gone("not_sent") from error

    def _is_burst(self) -> bool:
        """Whether more is likely to be said before the loop waits again."""
        return len(self.session.calls) + len(self.session.running) > BURST

    async def send_on_loop(self, message: Message, *, timeout: float | None) -> None:
        """Send and wait until it has left; WaitTimeoutError when nothing of it has within `timeout`."""
        entry = self.put_out(message)
        if entry is not None:
            await self.outbox.left(entry, timeout)

    def send_parts(self, parts: list[Buffer], *, timeout: float | None) -> None:
        """From a thread: blocks while much waits to be sent. On the loop: like `post`, but says what is wrong."""
        if self.on_loop():
            self.put_out_parts(parts)
            return
        if self.dead is not None:
            raise self.gone("not_sent")
        if len(self._handed) + len(self.outbox) < AT_ONCE:
            self.post_parts(parts)
            return
        handed: concurrent.futures.Future[None] = concurrent.futures.Future()
        on_loop(self.loop, lambda: self.tasks.run(self._send_for(parts, timeout, handed)))
        handed.result(None if timeout is None else timeout + 1.0)

    async def _send_for(
        self, parts: list[Buffer], timeout: float | None, handed: concurrent.futures.Future[None]
    ) -> None:
        try:
            entry = self.put_out_parts(parts)
            if entry is not None:
                await self.outbox.left(entry, timeout)
        except BaseException as error:
            handed.set_exception(error)
        else:
            handed.set_result(None)

    def post_parts(self, parts: list[Buffer]) -> None:
        if len(parts) != 1 or len(parts[0]) > self.connection.max_message:
            total = weigh(self.connection, parts)[0]
            if total > self.connection.max_message:
                raise too_large(total, self.connection.max_message)
        if self.on_loop() and not self._handed:
            self._post_now(parts)
        else:  # in the order in which threads and tasks say it
            self._handed.append(parts)
            on_loop(self.loop, self._post_handed)

    def _post_handed(self) -> None:
        while self._handed:
            self._post_now(self._handed.popleft())

    def _post_now(self, parts: list[Buffer]) -> None:
        if self.dead is None:
            try:
                if not (self._is_burst() and self.outbox.cork(parts)):
                    self.outbox.add(parts)
            except TincansError as error:
                self.lost(error)

    def reply(self, message: Message, *, timeout: float | None) -> None:
        if self.dropped:
            self.say_dropped()
        data = None
        if self.quick is not None and type(message) is Reply and not message.stream:
            data = self.quick.reply(message.id, message.value)
        self.post_parts(self.wire.encode(message, self.references) if data is None else [data])
        if self.turns is not None:
            self.turns.after_sending(message)
        self._look_for_the_next()

    def reply_plain(self, data: bytes) -> None:
        """The same on the loop for what the C core has written."""
        if self.dropped:
            self.say_dropped()
        with contextlib.suppress(TincansError):  # nobody is there any more to hear of it
            self.put_out_plain(data)
        self._look_for_the_next()

    def _look_for_the_next(self) -> None:
        if self.looks and self._accepting and not self.session.running and self.on_loop():
            self._answered = True  # who has just been answered often asks again at once
            if not self._looks_soon:
                self._looks_soon = True
                self.loop.call_soon(self.look)

    def send_in_burst(self, message: Message, *, timeout: float | None) -> None:
        self.send(message, timeout=timeout)

    def has_unsent(self) -> bool:
        return self.dead is None and self.outbox.busy

    # -- receiving -------------------------------------------------------------------------------------------------

    def rest(self) -> bool:
        """Begin to receive."""
        if not self._watched and self.dead is None:
            self._watched = True
            if self._fd is None:
                spawn(self._receive_for_ever, "tincans-reader")
            else:
                self.loop.add_reader(self._fd, self.ready)
                if self._prepare_wait():
                    self.loop.call_soon(self.ready)
        return True

    def _has_more(self) -> bool:
        """Before the loop waits for the descriptor: whether there is something to receive already."""
        if self._fd != self.connection.fileno():
            self._watch_right_descriptor()
        return self._prepare_wait()

    def look(self) -> None:
        """Look a moment for the answer to the only call that is out: over a ring it comes sooner than the loop turns.

        Looking that does not pay is left off, soon; and other tasks get their turn after LOOKS_IN_A_ROW.
        """
        if self._skips:
            self._skips -= 1
            self._looks_soon = False
            return
        self._looks_soon = True
        try:
            while self._look_once():
                pass
        finally:
            self._looks_soon = False
        if not self._arms_soon:  # who calls again at once need not have said that it sleeps
            self._arms_soon = True
            self.loop.call_soon(self._arm_now)

    def _arm_now(self) -> None:
        self._arms_soon = False
        if self.dead is None and self._has_more():
            self.ready()

    def _look_once(self) -> bool:
        """Whether to look again: what came was a request, and has been answered already."""
        self._answered = False
        try:
            parts = self.connection.receive(timeout=LOOK)
        except TincansError as error:
            self.lost(error)
            return False
        if parts is None:
            self._looks, self._misses = 0, min(self._misses + 1, MOST_MISSES)
            self._skips = (1 << self._misses) - 1
            return False
        self._looks, self._misses = self._looks + 1, 0
        self._skips = self._looks % LOOKS_IN_A_ROW == 0
        self._receive_one(parts)
        return self._answered and not self._skips and self.dead is None

    def _watch_right_descriptor(self) -> None:
        fd = self.connection.fileno()
        if fd != self._fd and fd is not None and self._fd is not None:
            self.loop.remove_reader(self._fd)
            self._fd = fd
            self.loop.add_reader(fd, self.ready)

    def ready(self) -> None:
        """There is something to receive."""
        receive = self.connection.receive
        try:
            for _ in range(AT_ONCE):
                if self.dead is not None or self._paused:
                    return
                parts = receive(timeout=0)
                if parts is not None:
                    self.take_in(parts)
                elif not self._has_more():
                    return
            self.loop.call_soon(self.ready)
        except TincansError as error:
            self.lost(error)
        except Exception as error:  # a fault of ours must not leave a link that is read no more
            log().exception("A message could not be handled; its connection is closed. Please report this.")
            self.lost(ProtocolError(f"A message could not be handled: {error!r}"))

    def _receive_for_ever(self) -> None:
        """A thread's work, for a connection without a descriptor."""
        count = 0
        while self.dead is None:
            try:
                parts = self.connection.receive(timeout=None)
            except TincansError as error:
                on_loop(self.loop, self.lost, error)
                return
            on_loop(self.loop, self._receive_one, parts)
            count += 1
            if count % AT_ONCE == 0 and not self._loop_has_caught_up():
                return

    def _loop_has_caught_up(self) -> bool:
        caught_up: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            self.loop.call_soon_threadsafe(caught_up.set_result, None)
        except RuntimeError:
            return False  # the loop is closed
        caught_up.result()
        return True

    def _receive_one(self, parts: list[Buffer] | None) -> None:
        if parts is None or self.dead is not None:
            return
        try:
            self.take_in(parts)
        except TincansError as error:
            self.lost(error)

    def take_in(self, parts: list[Buffer]) -> None:
        found = self.read_plain(parts)
        if found is not None and len(found) != 4:
            self.hand_on_plain(found)
        elif found is not None and self.owner.execute_plain(self, found):
            self.heard += 1
        else:
            self.handle(self.wire.decode(parts))

    def handle(self, message: Any) -> None:
        if type(message) is Request and self.direct:
            self.heard += 1
            self.session.check_opening(message.id)
            if message.name[:1] != "$" or not self.owner.execute_at_once(self, message):
                self.owner.execute(self, message)
        else:
            super().handle(message)

    def run_later(self, request: Request[Any]) -> None:
        on_loop(self.loop, self.owner.execute, self, request)

    def pause(self) -> None:
        """Receive nothing until the outbox is empty. Only the accepting side, so that never both sides wait."""
        if self._accepting and self._fd is not None and not self._paused:
            self._paused = True
            self.loop.remove_reader(self._fd)

    def resume(self) -> None:
        if self._paused and self.dead is None and self._fd is not None:
            self._paused = False
            self.loop.add_reader(self._fd, self.ready)
            self.loop.call_soon(self.ready)

    def hand_over(self) -> None:
        """The loop reads on in any case."""

    def call_there(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float) -> Any:
        from tincans.aio.calling import call

        return call(self, name, args, kwargs, timeout=timeout)

    def probe(self) -> None:
        """The loop looks all the time."""

    # -- waiting -----------------------------------------------------------------------------------------------------

    def is_awaited(self) -> bool:
        return bool(self.session.calls or self.session.inlets)

    def new_inlet(self, id: int) -> AsyncIncoming:
        self.mind()
        return AsyncIncoming(self, id)

    def wait(self, waiter: Waiting, timeout: float | None) -> bool:
        """From a thread: sleep until `waiter.settled`. False when the time is up."""
        deadline = None if timeout is None else monotonic() + timeout
        waiter.prepare_to_sleep()
        while not waiter.settled:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                return False
            waiter.sleep(left)
        return True

    # -- the end -----------------------------------------------------------------------------------------------------

    def lost(self, error: TincansError) -> None:
        if self.dead is not None:
            return
        if self.on_loop():
            super().lost(error)
            self.outbox.end(self.gone("not_sent"), self.gone("unknown"))
        elif self.loop.is_closed():
            self.connection.close()
        else:
            on_loop(self.loop, self.lost, error)
