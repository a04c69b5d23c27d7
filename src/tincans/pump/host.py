"""The serving program's end: listeners, the links they bring, and what all links share.

Rules of this file
- A stranger costs a descriptor and a few kilobytes, no thread, and is cut after GREETING_TIMEOUT; there may be
  MAX_STRANGERS at once.
- A link is one of ours only after its greeting; until then its messages go nowhere else.
- Closing says goodbye to everybody, lets running functions finish for a bounded time, and removes every name.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tincans.contracts import Connection, Listener, Wire
from tincans.core.address import Address
from tincans.core.dispatch import Dispatcher
from tincans.core.handshake import GREETING_LIMIT, GREETING_TIMEOUT, NONCE_BYTES, Accepting, Me
from tincans.core.messages import Goodbye, Hello, Message, Request
from tincans.errors import ClosedError, DeniedError, DisconnectedError, ProtocolError, TincansError
from tincans.finder import find_framing, resolve
from tincans.pump.execution import SETTING_UP, Executor, release
from tincans.pump.hub_service import HubService
from tincans.pump.keys import keys_of
from tincans.pump.link import Link
from tincans.pump.reactor import Background, Timer, reactor
from tincans.version import VERSION

if TYPE_CHECKING:
    from tincans.toolkit.keep import Keep

MAX_STRANGERS = 4096
ACCEPTS_AT_ONCE = 64
DRAIN_SECONDS = 5.0
log = logging.getLogger("tincans")


class Door(Struct):
    """One address that a host listens on."""

    address: Address
    wire: Wire
    listener: Listener
    keys: Mapping[str, bytes]
    max_message: int


class Keeper(Protocol):
    """Who accepts at a door."""

    def close(self) -> None: ...


class Host:
    """A serving program: owns its links. Thread-safe."""

    def __init__(self, *, name: str = "", keep: Keep | None = None, keys: Mapping[str, bytes] | None = None) -> None:
        self.name = name
        self.dispatcher = Dispatcher()
        self.executor = self.make_executor()
        self.executor.set_up_at = time.monotonic() + SETTING_UP
        self.reactor: Background = self.make_background()
        self.hub = self.make_hub(keep)
        self.doors: list[Keeper] = []
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

    # -- doors ----------------------------------------------------------------------------------------------

    def open(self, url: str) -> str:
        """Listen on one more URL; the URL to connect to."""
        door = self.listen(url)
        keeper = _DoorKeeper(self, door)
        self.doors.append(keeper)
        keeper.begin()
        return door.listener.address

    def listen(self, url: str) -> Door:
        """A listener for a URL, whose connections nobody accepts yet. May block for a moment."""
        address, transport, wire = resolve(url)
        settings = address.settings(transport.options)
        keys = {**self._keys, **keys_of(address)}
        listener = transport.listen(address, framing=find_framing(wire))
        return Door(address, wire, listener, keys, int(settings.get("max_message") or 2**30))

    # -- links ----------------------------------------------------------------------------------------------

    def admit(self, door: Door, connection: Connection) -> None:
        """A new connection: it has GREETING_TIMEOUT to greet."""
        if len(self.strangers) >= MAX_STRANGERS or self.closed.is_set():
            self.refused += 1
            connection.close()
            return
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
            link.greeted = True
            link.direct = link.turns is None
            self.links[link] = None
            self.strangers.pop(link, None)
            self._forget_cutter(link)
        elif accepting.other is not None and answer is not None and not accepting.me.keys:
            raise ProtocolError("The other side speaks another version.")

    def execute(self, link: Link, request: Request[Any]) -> None:
        self.executor.execute(link, request)

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        if not request.name.startswith("$"):
            return False
        if request.name.startswith("$back:"):
            return False
        if request.name == "$describe":
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
            log.warning("Refused %s: %s", link.identity.address, error)
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


class _DoorKeeper:
    """Accepts connections on one listener: by the reactor where it has a descriptor, else by a thread."""

    def __init__(self, host: Host, door: Door) -> None:
        self.host = host
        self.door = door
        self._fd = door.listener.fileno()

    def begin(self) -> None:
        if self._fd is None:
            threading.Thread(target=self._accept_for_ever, name="tincans-accept", daemon=True).start()
        else:
            self.host.reactor.arm(self._fd, self)

    def ready(self) -> None:
        """A worker's job: accept who is there."""
        try:
            for _ in range(ACCEPTS_AT_ONCE):
                connection = self.door.listener.accept(timeout=0)
                if connection is None:
                    break
                self.host.admit(self.door, connection)
        except ClosedError:
            self.host.door_over(self)
            return
        except Exception as error:  # out of descriptors or memory: others may leave, so try again
            log.warning("Could not accept on %s: %s", self.door.listener.address, error)
            self.host.reactor.call_at(time.monotonic() + 0.1, self.begin)
            return
        if not self.host.closed.is_set() and self._fd is not None:
            self.host.reactor.arm(self._fd, self)

    def rest(self) -> bool:
        return True

    def _accept_for_ever(self) -> None:
        while not self.host.closed.is_set():
            try:
                connection = self.door.listener.accept(timeout=None)
                if connection is not None:
                    self.host.admit(self.door, connection)
            except ClosedError:
                self.host.door_over(self)
                return
            except Exception as error:
                log.warning("Could not accept on %s: %s", self.door.listener.address, error)
                self.host.closed.wait(0.1)

    def close(self) -> None:
        if self._fd is not None:
            self.host.reactor.forget(self._fd, self)
        self.door.listener.close()
