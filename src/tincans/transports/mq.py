"""mq: POSIX message queues, the kernel's own, between two programs of one user.

URL: `mq:NAME`.
Options: `max_message` (bytes, default 1G); `messages` and `message_size` (of each of a client's two queues, default 8
    of 1024 bytes: small, for the kernel gives a user 800 KiB for all his queues together, see ulimit -q).
Delivery: in order, while both programs live; a message larger than the queue's is cut up and put together again.
Leaves behind: after kill -9 a queue, a marker file or both, which block nobody; the next server that starts by any mq
    name removes them, and so does whoever finds no room for a queue of his own.
Limits: this machine, this user; about 45 clients at once with the kernel's usual limits and the defaults here.

Rules of this file
- The serving program has one queue for announcements; each client makes a pair of its own
  (toolkit/mq/rendezvous.py).
- The kernel tells nobody that a queue has lost its reader: locks and pidfds do (toolkit/mq/connection.py).
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from time import monotonic
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Framing, Identity, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, ClosedError, DeniedError, TincansError, UnreachableError
from tincans.facts import Facts, Yes
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.name_lock import NameLock
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.mq import message_queue
from tincans.toolkit.mq import rendezvous as queue_rendezvous
from tincans.toolkit.mq.connection import QueueConnection, watch
from tincans.toolkit.mq.message_queue import MessageQueue

FACTS = Facts(
    summary="POSIX message queues: the kernel's own, small, for few clients",
    share=Yes("native", "cut up beside the message and copied once each way: slow for large ones"),
    leaves_behind="after kill -9 a queue and a marker file, which block nobody and go at the next start of a server",
    extra="mq",
    library="posix_ipc",
)

OPTIONS: Mapping[str, Option] = {
    "max_message": Option(int, 1024**3, "largest message in bytes"),
    "messages": Option(int, 8, "messages in each of a client's two queues (the client's word counts)"),
    "message_size": Option(int, 1024, "bytes of each of them"),
}

_WELCOME = b"welcome "
_PIECES_AT_ONCE = 100
"""Records, or pieces of garbage, that one look of `accept` goes through: more than the queue can hold."""
_SWEEP_SECONDS = 10.0
_LONGEST_NAME = 100


class MqTransport:
    """The method `mq`. Stateless; one instance serves all."""

    facts = FACTS
    options = OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> QueueConnection:
        """See contracts.Transport."""
        settings, name = _settings(address), address.path
        deadline = monotonic() + timeout
        door, pid = _knock(name, address)
        watched = watch(pid)
        try:
            with queue_rendezvous.new_pair(name, messages=settings["messages"], size=settings["message_size"]) as (
                token,
                down,
                up,
            ):
                _announce(door, queue_rendezvous.record(token), watched, deadline, address)
                _await_welcome(down, door, watched, deadline, address)
            identity = Identity(pid, door.owner_uid(), str(replace(address, options={})))
        except BaseException as error:
            if watched >= 0:
                os.close(watched)
            if isinstance(error, TincansError):
                error.url = error.url or str(address)
            raise
        finally:
            door.close()
        return _connection(down, up, framing, identity, settings, watched)

    def listen(self, address: Address, *, framing: Framing) -> MqListener:
        """See contracts.Transport."""
        settings, name = _settings(address), address.path
        lock = name_lock.acquire(queue_rendezvous.door_marker(name), {"method": "mq"})
        try:
            return MqListener(name, queue_rendezvous.make_door(name), lock, framing, settings)
        except BaseException:
            lock.release()
            raise

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """None: what waits in these queues is cut-up messages, not jobs; the serving program keeps those."""
        return None


class MqListener:
    """See contracts.Listener."""

    def __init__(
        self, name: str, door: MessageQueue, lock: NameLock, framing: Framing, settings: Mapping[str, Any]
    ) -> None:
        self.address = f"mq:{name}"
        self._name = name
        self._door = door
        self._lock = lock
        self._framing = framing
        self._settings = settings
        self._closed = self._accepting = self._disposed = False
        self._bell = Doorbell()
        self._swept = monotonic()
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> QueueConnection | None:
        """See contracts.Listener."""
        deadline = deadline_of(timeout)
        self._accepting = True
        try:
            while not self._closed:
                for _ in range(_PIECES_AT_ONCE):
                    data = self._door.receive()
                    if data is None:
                        break
                    if (connection := self._join(data)) is not None:
                        return connection
                left = left_of(deadline)
                if left is not None and left <= 0:
                    return None
                self._wait(left)
        finally:
            self._accepting = False
            if self._closed:
                self._dispose()
        raise ClosedError(f"{self.address} is no longer served here.", url=self.address)

    def _wait(self, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._door.fd, select.POLLIN)
        poll.register(self._bell.fileno(), select.POLLIN)
        poll.poll(None if seconds is None else max(1.0, seconds * 1000))

    def _join(self, data: bytes) -> QueueConnection | None:
        """The announced connection; None for garbage, and for a client that is gone or was never there."""
        if monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = monotonic()
            queue_rendezvous.sweep()
        said = queue_rendezvous.read_record(data)
        if said is None:
            return None
        token, pid = said
        try:
            pair = queue_rendezvous.join_pair(self._name, token)
        except DeniedError:
            return None
        except TincansError:  # out of descriptors: stay readable, until some are free
            self._door.send(data)
            raise
        if pair is None:
            return None
        up, down = pair
        identity = Identity(uid=up.owner_uid(), address=f"{self.address} (says it has pid {pid})")
        connection = _connection(up, down, self._framing, identity, self._settings, watch(pid))
        down.send(_WELCOME + str(os.getpid()).encode())
        return connection

    def close(self) -> None:
        """See contracts.Listener."""
        if not self._closed:
            self._closed = True
            self._bell.ring()
            message_queue.remove(queue_rendezvous.queue_name(self._name))
            self._door.disown()
            self._lock.release()
        if not self._accepting:
            self._dispose()

    def abandon(self) -> None:
        """In a forked child: the name, its lock and its queue are the parent's."""
        self._closed = True
        self._dispose()

    def _dispose(self) -> None:
        if not self._disposed:
            self._disposed = True
            self._door.close()
            self._bell.close()

    def fileno(self) -> int | None:
        """The queue for announcements, readable when somebody announces himself."""
        if self._closed:
            raise ClosedError(f"{self.address} is no longer served here.", url=self.address)
        return self._door.fd


TRANSPORT = MqTransport()


def _settings(address: Address) -> dict[str, Any]:
    if address.host or address.port is not None or address.path.startswith("/"):
        raise AddressError("A message queue is on this machine and has a plain name: say mq:NAME.", url=str(address))
    message_queue.library()
    queue_rendezvous.door_marker(address.path)
    if len(address.path) > _LONGEST_NAME:
        raise AddressError(f"The name {address.path!r} is too long for a queue.", url=str(address))
    settings = address.settings(OPTIONS)
    for option, most in zip(("messages", "message_size"), message_queue.kernel_limits(), strict=True):
        least = 1 if option == "messages" else 64
        if option not in address.options:
            settings[option] = min(settings[option], most)
        elif not least <= settings[option] <= most:
            raise AddressError(
                f"The option {option} must be from {least} to {most}, the kernel's limit (/proc/sys/fs/mqueue).",
                url=str(address),
            )
    return settings


def _knock(name: str, address: Address) -> tuple[MessageQueue, int | None]:
    """The queue for announcements and the pid of who reads it. UnreachableError when nobody does."""
    served = name_lock.holder(queue_rendezvous.door_marker(name))
    try:
        door = None if served is None else message_queue.open_queue(queue_rendezvous.queue_name(name))
    except FileNotFoundError:
        door = None
    if door is not None and door.owned():
        pid = (served or {}).get("pid")
        return door, pid if isinstance(pid, int) else None
    if door is not None:
        door.close()
    raise UnreachableError(
        f"Nobody serves mq:{name}. Start the program that does: tincans.serve('mq:{name}').", url=str(address)
    )


def _announce(door: MessageQueue, record: bytes, watched: int, deadline: float, address: Address) -> None:
    while not door.send(record):
        if not door.owned() or not _ready(door.fd, select.POLLOUT, watched, deadline):
            raise UnreachableError(
                f"The server of mq:{address.path} takes no announcements now. Try again.", url=str(address)
            )


def _await_welcome(down: MessageQueue, door: MessageQueue, watched: int, deadline: float, address: Address) -> None:
    while (data := down.receive()) is None:
        if not door.owned() or not _ready(down.fd, select.POLLIN, watched, deadline):
            raise UnreachableError(
                f"The server of mq:{address.path} ended, or did not answer in time. Try again.", url=str(address)
            )
    if not data.startswith(_WELCOME):
        raise UnreachableError(f"What answers at mq:{address.path} is no server of ours.", url=str(address))


def _ready(fd: int, event: int, watched: int, deadline: float) -> bool:
    """Wait a while; False when the time is up. Whether the other end lives is asked again by the caller."""
    left = deadline - monotonic()
    if left <= 0:
        return False
    poll = select.poll()
    poll.register(fd, event)
    if watched >= 0:
        poll.register(watched, select.POLLIN)
    poll.poll(max(1.0, (left if watched >= 0 else min(left, 0.05)) * 1000))
    return True


def _connection(
    inbox: MessageQueue, outbox: MessageQueue, framing: Framing, identity: Identity, settings: Mapping[str, Any],
    watched: int,
) -> QueueConnection:  # fmt: skip
    return QueueConnection(
        inbox, outbox, framing=framing, identity=identity, max_message=settings["max_message"], watched=watched
    )
