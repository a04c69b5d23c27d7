"""Where clients of `mq:` announce themselves, and the private pair of queues that each makes; none is left behind.

Rules of this file
- A message queue's name is seen by no `ls`, so each has a marker in the runtime directory, locked by its maker and made
  before it: a marker without a lock names the queues of a dead program, and the next server to start removes them.
- A client makes and locks `down` (to it) and makes `up` (to the server), announces them by one record, and the server
  removes both names as soon as it has them open.
- Nothing that a record says is believed but a token, which can only name a pair beside the rendezvous.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from tincans.errors import NameInUseError, TincansError, UnreachableError
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.runtime_directory import path_of, runtime_directory
from tincans.toolkit.mq import message_queue
from tincans.toolkit.mq.message_queue import MessageQueue
from tincans.toolkit.mq.orphans import sweep_all

DOOR_MESSAGES = 10
_RECORD = re.compile(rb"tincan1 ([0-9a-f]{32}) ([0-9]{1,10})")
RECORD_SIZE = 64
_PATIENCE = 2.0  # seconds
_DOOR, _PAIR = ".mqdoor", ".mqpair"


def queue_name(name: str, place: Path | None = None) -> str:
    """The kernel's name of a queue: one namespace for each runtime directory, so for each user.

    >>> queue_name("alice") == queue_name("alice"), queue_name("alice").endswith("-alice")
    (True, True)
    """
    short = hashlib.sha256(os.fsencode(place or runtime_directory())).hexdigest()[:12]
    return f"/tincans-{short}-{name}"


def door_marker(name: str) -> Path:
    """The lock file of who serves `name`. AddressError for what is no name."""
    return path_of(name, _DOOR)


def make_door(name: str) -> MessageQueue:
    """The queue for announcements, after what dead programs left is removed. The marker's lock is the caller's."""
    sweep()
    whole = queue_name(name)
    try:
        left = message_queue.open_queue(whole)
    except FileNotFoundError:
        pass
    else:
        try:
            if left.owned():
                raise NameInUseError(f"mq:{name} is served by another live program. Choose another name.")
        finally:
            left.close()
        message_queue.remove(whole)
    messages = min(DOOR_MESSAGES, message_queue.kernel_limits()[0])
    door = _created(whole, messages=messages, size=RECORD_SIZE)
    deadline = monotonic() + _PATIENCE
    while not door.own():  # a client looks whether somebody does, for some microseconds
        if monotonic() > deadline:
            door.close()
            raise NameInUseError(f"mq:{name} is held by another live program. Choose another name.")
        sleep(0.001)
    return door


def _created(whole: str, *, messages: int, size: int) -> MessageQueue:
    """A new queue. When there is no room for it, what dead programs left goes first."""
    try:
        return message_queue.create(whole, messages=messages, size=size)
    except UnreachableError:
        if not sweep() + sweep_all():
            raise
    return message_queue.create(whole, messages=messages, size=size)


def record(token: str) -> bytes:
    """An announcement."""
    return f"tincan1 {token} {os.getpid()}".encode()


def read_record(data: bytes) -> tuple[str, int] | None:
    """The token and the pid that an announcement says; None for garbage."""
    found = _RECORD.fullmatch(data)
    return None if found is None else (found[1].decode(), int(found[2]))


def pair_names(name: str, token: str) -> tuple[str, str]:
    """The kernel's names of `down` and `up`."""
    return queue_name(f"{name}.{token}.down"), queue_name(f"{name}.{token}.up")


@contextmanager
def new_pair(name: str, *, messages: int, size: int) -> Iterator[tuple[str, MessageQueue, MessageQueue]]:
    """A token, `down` and `up`. Their names are gone at the end; on an error so are the queues."""
    token = secrets.token_hex(16)
    down_name, up_name = pair_names(name, token)
    marker = name_lock.acquire(runtime_directory() / f"{name}.{token}{_PAIR}")
    opened: list[MessageQueue] = []
    try:
        for whole in (down_name, up_name):
            opened.append(_created(whole, messages=messages, size=size))
        opened[0].own()
        yield token, opened[0], opened[1]
    except BaseException:
        for queue in opened:
            queue.close()
        raise
    finally:
        message_queue.remove(down_name)
        message_queue.remove(up_name)
        marker.release()


def join_pair(name: str, token: str) -> tuple[MessageQueue, MessageQueue] | None:
    """The server's side, `up` to read and `down` to write; None when the client is gone. The names are removed."""
    down_name, up_name = pair_names(name, token)
    opened: list[MessageQueue] = []
    try:
        for whole in (down_name, up_name):
            opened.append(message_queue.open_queue(whole))
        down, up = opened
        if not down.owned() or not up.own():
            raise FileNotFoundError(down_name)
    except FileNotFoundError:
        for queue in opened:
            queue.close()
        return None
    except TincansError:
        for queue in opened:
            queue.close()
        raise
    message_queue.remove(down_name)
    message_queue.remove(up_name)
    return up, down


def sweep(place: Path | None = None) -> int:
    """Remove the queues of dead programs, of this runtime directory or another; how many markers went. Those of living
    ones stay."""
    place = place or runtime_directory()
    return sum(_sweep_one(marker) for kind in (_DOOR, _PAIR) for marker in place.glob(f"*{kind}"))


def _sweep_one(marker: Path) -> bool:
    return name_lock.discard(marker, partial(_remove_queues, marker))


def _remove_queues(marker: Path) -> None:
    for end in ("",) if marker.suffix == _DOOR else (".down", ".up"):
        message_queue.remove(queue_name(marker.stem + end, marker.parent))
