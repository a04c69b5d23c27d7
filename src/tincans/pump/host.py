"""The serving program's end: listeners, the links they bring, and what all links share.

Rules of this file
- A stranger costs a descriptor and a few kilobytes, no thread, and is cut after GREETING_TIMEOUT; there may be
  MAX_STRANGERS at once.
- A link is one of ours only after its greeting; until then its messages go nowhere else.
- Closing says goodbye to everybody, lets running functions finish for a bounded time, and removes every name.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tincans.contracts import Buffer, Connection, Wire
from tincans.core.dispatch import Dispatcher
from tincans.core.handshake import GREETING_LIMIT, GREETING_TIMEOUT, NONCE_BYTES, Accepting, Me
from tincans.core.log import log
from tincans.core.messages import Goodbye, Hello, Message, Request
from tincans.errors import ClosedError, DeniedError, DisconnectedError, ProtocolError, TincansError
from tincans.finder import Method, find_framing, find_protocol, method_of
from tincans.pump import plain_serving
from tincans.pump.conversing import conversing
from tincans.pump.door import Door, DoorKeeper, Keeper
from tincans.pump.execution import SETTING_UP, Executor, awaited, release
from tincans.pump.hub_board import Asker
from tincans.pump.hub_service import HubService
from tincans.pump.keys import keys_of
from tincans.pump.link import Link
from tincans.pump.reactor import Background, Timer, reactor
from tincans.pump.references import CALL_BACK
from tincans.pump.waiting_letters import WaitingLetters
from tincans.version import VERSION

if TYPE_CHECKING:
    from tincans.contracts.protocol import PublicProtocol
    from tincans.toolkit.files.keep import Keep

MAX_STRANGERS = 4096
DRAIN_SECONDS = 5.0


class Host:
    """A serving program: owns its links. Thread-safe."""

    def __init__(self, *, name: str = "", keep: Keep | None = None, keys: Mapping[str, bytes] | None = None) -> None:
        self.name = name
        self.dispatcher = Dispatcher()
        self.executor = self.make_executor()
        self.reactor: Background = self.make_background()
        self.hub = self.make_hub(keep)
        self.doors: list[Keeper] = []
        self.methods: list[Method] = []
        """What it is reached by, in the order of its URLs."""
        self.links: dict[Link, None] = {}
        self.strangers: dict[Link, Accepting] = {}
        self._cutters: dict[Link, Timer] = {}
        self.refused = 0
        self.closed = threading.Event()
        self.over = threading.Event()
        """Set when everything is closed."""
        self.on_last_door: Callable[[], object] = _nothing
        """Called when the last listener has ended by itself: a child's only connection is over."""
        self._keys = dict(keys or {})
        self._lock = threading.Lock()

    # -- what an event loop does otherwise ----------------------------------------------------------------------

    def make_executor(self) -> Executor:
        return Executor(self.dispatcher)

    def make_background(self) -> Background:
        return reactor()

    def make_hub(self, keep: Keep | None) -> HubService:
        return HubService(self.reactor, keep)

    def make_link(self, connection: Connection, wire: Wire) -> Link:
        return Link(connection, wire, self, self.reactor, connecting=False)

    def asker(self, owner: object) -> Asker:
        """The hub, for threads of this program."""
        from tincans.pump.local_hub import LocalAsker

        return LocalAsker(self.hub, owner)

    def run_async(
        self, awaitable: Any, visit: Any, then: Callable[[Any, BaseException | None], None]
    ) -> Callable[[], None]:
        """Run what an async function gave, for a protocol's caller; what cancels it."""
        from tincans.toolkit import asyncio_bridge

        return asyncio_bridge.run(awaited(awaitable, visit), then)

    def driven(self, elements: Any) -> Iterator[Any]:
        """An async generator as an iterator for a thread."""
        from tincans.toolkit import asyncio_bridge

        return asyncio_bridge.iterate(elements)

    # -- doors ----------------------------------------------------------------------------------------------

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """While all URLs are opened, and a moment longer, a name that is not exposed yet is waited for."""
        self.executor.set_up_at = math.inf
        try:
            yield
        finally:
            self.executor.set_up_at = time.monotonic() + SETTING_UP

    def open(self, url: str) -> str:
        """Listen on one more URL; the URL to connect to."""
        method = method_of(url)
        if method.protocol is not None:
            return self.open_protocol(method, method.protocol)
        if not method.calls:
            return self.open_board(method)
        keeper = DoorKeeper(self, self.listen(method))
        self.methods.append(method)
        self.doors.append(keeper)
        keeper.begin()
        return keeper.door.listener.address

    def listen(self, method: Method) -> Door:
        """A listener whose connections nobody accepts yet. May block for a moment."""
        address, transport, wire = method.address, method.transport, method.wire
        assert transport is not None
        settings = address.settings(transport.options)
        keys = {**self._keys, **keys_of(address)}
        listener = transport.listen(address, framing=find_framing(wire))
        return Door(address, wire, listener, keys, int(settings.get("max_message") or 2**30), transport.facts.stored)

    def open_protocol(self, method: Method, protocol: PublicProtocol) -> str:
        """Serve by a public protocol, which has a server of its own. May block for a moment."""
        from tincans.pump.service import HostService

        keys = {**self._keys, **keys_of(method.address)}
        served = protocol.serve(method.address, HostService(self, keys))
        self.methods.append(method)
        self.doors.append(served)
        return served.address

    def asgi(self, **settings: Any) -> Any:
        """All that is exposed as an ASGI application, for a server that is not ours."""
        from tincans.pump.service import HostService

        protocol: Any = find_protocol("http")
        return protocol.asgi(HostService(self, self._keys), keys=self._keys, **settings)

    def open_board(self, method: Method) -> str:
        """A method without calls: there is nothing to listen to, but the server's own words use its board."""
        self.methods.append(method)
        return str(method.address)

    # -- links ----------------------------------------------------------------------------------------------

    def admit(self, door: Door, connection: Connection) -> None:
        """A new connection: it has GREETING_TIMEOUT to greet."""
        if len(self.strangers) >= MAX_STRANGERS or self.closed.is_set():
            self.refused += 1
            connection.close()
            return
        if door.stored:
            connection = WaitingLetters(connection, door.wire)
        connection = conversing(connection, door.wire, connecting=False)
        link = self.make_link(connection, door.wire)
        if door.wire.greets or door.keys:
            connection.max_message = GREETING_LIMIT
            link.greeted = link.direct = False
            me = Me(
                os.getpid(),
                name=self.name,
                software=VERSION,
                max_message=door.max_message,
                keys=door.keys,
                idempotent=self.dispatcher.idempotent_names(),
            )
            where = connection.identity.address or "a stranger"
            self.strangers[link] = Accepting(me, os.urandom(NONCE_BYTES), where)
            self._cutters[link] = self.reactor.call_at(
                time.monotonic() + GREETING_TIMEOUT, lambda: self.cut_stranger(link)
            )
        else:
            connection.max_message = door.max_message
            self.links[link] = None
        link.background = True
        link.rest()  # arms it

    def cut_stranger(self, link: Link) -> None:
        """The time to greet is over."""
        if link in self.strangers:
            link.lost(DisconnectedError("It did not greet in time."))

    def _forget_cutter(self, link: Link) -> None:
        """Its timer is not needed any more, and would hold the link's memory until its time."""
        cutter = self._cutters.pop(link, None)
        if cutter is not None:
            cutter.cancel()

    def greet(self, link: Link, message: Message) -> None:
        accepting = self.strangers.get(link)
        if accepting is None:
            return
        try:
            answer = accepting.receive(message)
        except TincansError:
            self.refused += 1
            raise
        if answer is not None:
            link.post(answer)
        if accepting.done:
            other = accepting.other or Hello(0)
            link.identity = replace(link.identity, key_name=accepting.key_name)
            link.connection.max_message = accepting.me.max_message
            link.software = other.software
            link.know_connection()
            link.greeted = True
            link.direct = link.turns is None
            self.links[link] = None
            self.strangers.pop(link, None)
            self._forget_cutter(link)
        elif accepting.other is not None and answer is not None and not accepting.me.keys:
            raise ProtocolError("The other side speaks another version.")

    def execute(self, link: Link, request: Request[Any]) -> None:
        self.executor.execute(link, request)

    def serve_plain(self, link: Link, linger: float) -> list[Buffer] | None:
        assert link.quick is not None
        return plain_serving.serve(link, link.quick, self.executor, linger)

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        name = request.name
        if not name.startswith("$") or name.startswith(CALL_BACK) or name == "$describe":
            return False
        if not release(link, request):
            self.hub.request(link, request)
        return True

    def cancelled(self, link: Link, id: int) -> None:
        self.hub.cancel_late(link, id)

    def goodbye(self, link: Link) -> None:
        """The other side will close; its end is noticed when it does."""

    def lost(self, link: Link, error: TincansError) -> None:
        stranger = self.strangers.pop(link, None)
        if stranger is not None:
            self._forget_cutter(link)
        if stranger is not None and isinstance(error, DeniedError):
            log().warning("Refused %s: %s", link.identity.address, error)
        self.links.pop(link, None)
        self.hub.gone(link)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self, *, drain: float = DRAIN_SECONDS) -> None:
        """Stop listening, say goodbye, let running functions finish within `drain` seconds, end all links."""
        if not self.begin_closing():
            self.over.wait(drain)  # whoever closes it lets running functions finish
            return
        deadline = time.monotonic() + drain
        while self.is_draining() and time.monotonic() < deadline:
            time.sleep(0.005)
        self.end()

    def begin_closing(self) -> bool:
        """Stop listening and say goodbye. False when somebody has done so before."""
        with self._lock:
            if self.closed.is_set():
                return False
            self.closed.set()
        for keeper in self.doors:
            keeper.close()
        for link in list(self.links):
            if link.wire.greets:
                link.post(Goodbye("the server is closing"))
        return True

    def is_draining(self) -> bool:
        """Whether functions still run or answers are still on their way out."""
        links = list(self.links)
        return self.executor.is_busy(links) or any(link.has_unsent() for link in links)

    def end(self) -> None:
        """Close the hub and every link."""
        self.hub.close()
        for link in [*self.links, *self.strangers]:
            link.lost(ClosedError("The server was closed."))
        self.over.set()

    def door_over(self, keeper: Keeper) -> None:
        """A listener has ended by itself."""
        if keeper in self.doors and not self.closed.is_set():
            self.doors.remove(keeper)
            keeper.close()
            if not self.doors:
                self.on_last_door()


def _nothing() -> None:
    """Nobody minds."""
