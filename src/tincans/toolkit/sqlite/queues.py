"""Queues in the shared file: contracts.Queues.

Rules of this file
- `put`, `take`, `acknowledge` and `give_back` return when what they did is committed. Putting and finishing are as
  durable as was asked for; a lease need not survive a power cut, for nobody who has one does.
- A lease ends with its time, and at once when the program that has it dies or closes: each board that takes has a
  number (its owner), whose byte of the bell it holds. A lease is FREE + owner * 2**32 + a number that the owner uses
  once.
- Jobs that were handed out before stand in front of all later ones, for a queue is served by the jobs' numbers.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from tincans.contracts import Delivery, Policy, Wire
from tincans.core.hub import arguments
from tincans.core.hub.dead_letter import DEAD, dead_letter, is_spent
from tincans.core.hub.queue_errors import lease_lost, no_room, queue_full
from tincans.errors import ProtocolError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.layout import FREE, OWNERS, READY, next_number
from tincans.toolkit.sqlite.letter import bytes_in
from tincans.toolkit.sqlite.store import Store

_PUT = "INSERT INTO jobs (queue, value, due) VALUES (?, ?, ?)"
_FIRST = (
    f"(SELECT min(id) FROM (SELECT id FROM (SELECT id FROM jobs WHERE queue = ? AND due = {READY} ORDER BY id LIMIT 1)"
    f" UNION ALL SELECT min(id) FROM jobs WHERE queue = ? AND due > {READY} AND due <= ?))"
)
_TAKE = (
    "UPDATE jobs SET deliveries = deliveries + 1, due = ?, lease = ?"
    f" WHERE id = {_FIRST} RETURNING id, value, CAST(deliveries AS INTEGER)"
)
_DONE = "DELETE FROM jobs WHERE id = ? AND lease = ?"
_BACK = f"UPDATE jobs SET due = ?, lease = {FREE} WHERE id = ? AND lease = ?"
_RENEW = "UPDATE jobs SET due = ? WHERE id = ? AND lease = ?"
_WAITING = f"SELECT count(*) FROM jobs WHERE queue = ? AND (lease = {FREE} OR due <= ?)"
_OLDEST = (
    f"DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE queue = ? AND (lease = {FREE} OR due <= ?)"
    " ORDER BY id LIMIT ?)"
)
_HOLDERS = f"SELECT DISTINCT lease >> 32 FROM jobs WHERE queue = ? AND lease <> {FREE}"
_GIVE_BACK_ALL = f"UPDATE jobs SET due = {READY}, lease = {FREE} WHERE queue = ? AND lease >> 32 = ?"
_NEXT_DUE = "SELECT CAST(min(due) AS REAL) FROM jobs WHERE queue = ? AND due > ?"
_BURY = (
    f"UPDATE jobs SET queue = ?, value = ?, deliveries = 0, due = {READY}, lease = {FREE} WHERE id = ? AND lease = ?"
)


class StoredQueues:
    """See contracts.Queues."""

    def __init__(self, store: Store, wire: Wire) -> None:
        self._store = store
        self._wire = wire
        self._making = threading.Lock()
        self._owner: int | None = None
        self._life: ByteLock | None = None
        self._numbers = itertools.count(1)
        abandon_in_child(self)

    # -- putting ---------------------------------------------------------------------------------------------------

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        """See contracts.Queues."""
        arguments.name("queue", queue)
        due = time.time() + arguments.seconds("The delay of a job", delay, zero=True) if delay else READY
        packed = self._wire.pack(value)
        if limit is None:
            self._store.durable.count(_PUT, queue, packed, due)
        else:
            arguments.count("The limit of a queue", limit, least=1)
            self._put_where_room_is(queue, packed, due, limit, policy, timeout)
        self._store.bell.ring(slot_of("queue", queue))

    def _put_where_room_is(
        self, queue: str, packed: bytes, due: float, limit: int, policy: Policy, timeout: float | None
    ) -> None:
        slot, bell, deadline = slot_of("queue", queue), self._store.bell, deadline_of(timeout)
        while True:
            seen = bell.seen(slot)
            with self._store.durable.transaction() as execute:
                waiting = execute(_WAITING, queue, time.time())[0][0]
                if waiting >= limit and policy == "drop_oldest":
                    execute(_OLDEST, queue, time.time(), waiting - limit + 1)
                if waiting < limit or policy == "drop_oldest":
                    execute(_PUT, queue, packed, due)
                    return
            if policy == "refuse":
                raise queue_full(queue, waiting)
            left = left_of(deadline)
            if left == 0 or not bell.wait(slot, seen, timeout=left):
                raise no_room(queue, timeout)

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        """See contracts.Queues."""
        arguments.name("queue", queue)
        arguments.seconds("A lease", lease, zero=False)
        taken = self._draw(queue, lease, max_deliveries)
        if taken is not None:
            return taken
        deadline, slot = deadline_of(timeout), slot_of("queue", queue)
        while True:  # look once more, with the bell in view
            seen = self._store.bell.seen(slot) if timeout != 0 else None
            freed = self._free_of_the_dead(queue)
            taken = self._draw(queue, lease, max_deliveries) if freed or seen is not None else None
            if taken is not None or seen is None or left_of(deadline) == 0:
                return taken
            self._wait_for_one(queue, slot, seen, deadline)

    def _wait_for_one(self, queue: str, slot: int, seen: Any, deadline: float | None) -> None:
        """Until the bell is rung, a delay or lease is over, or the time is up."""
        left, now = left_of(deadline), time.time()
        due = self._store.quick.change(_NEXT_DUE, queue, now)[0][0]
        if due is not None:
            left = max(0.001, due - now) if left is None else min(left, max(0.001, due - now))
        self._store.bell.wait(slot, seen, timeout=left)

    def _draw(self, queue: str, lease: float, most: int) -> Delivery | None:
        while True:
            now, receipt = time.time(), self._receipt()
            rows = self._store.quick.change(_TAKE, now + lease, receipt, queue, queue, now)
            if not rows:
                return None
            (id, value, deliveries) = rows[0]
            if not is_spent(queue, deliveries - 1, most):
                return Delivery(queue, self._wire.unpack(bytes_in(value)), deliveries, lease, (id, receipt, most))
            self._bury(queue, id, receipt, value, deliveries - 1, "its lease ended")

    def _receipt(self) -> int:
        if self._owner is None:
            with self._making:
                if self._owner is None:
                    self._owner = self._new_owner()
        return FREE + (self._owner << 32) + next(self._numbers)

    def _new_owner(self) -> int:
        bell = self._store.bell
        while True:
            rows = self._store.durable.change(next_number("owner"))
            number: int = rows[0][0] % (1 << 29)
            self._life = bell.hold(OWNERS + number)
            if self._life is not None:
                return number

    def _free_of_the_dead(self, queue: str) -> bool:
        """Give back the jobs of programs that died; whether there were any."""
        found = False
        for (holder,) in self._store.quick.change(_HOLDERS, queue):
            owner = holder - (FREE >> 32)
            if owner != self._owner and not self._store.bell.is_held(OWNERS + owner):
                self._store.quick.change(_GIVE_BACK_ALL, queue, holder)
                found = True
        return found

    # -- afterwards ------------------------------------------------------------------------------------------------

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        id, receipt, _ = self._receipt_of(delivery)
        if not self._store.durable.count(_DONE, id, receipt):
            raise lease_lost(delivery.queue)
        self._store.bell.ring(slot_of("queue", delivery.queue))

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        """See contracts.Queues."""
        id, receipt, most = self._receipt_of(delivery)
        arguments.seconds("The delay of a job", delay, zero=True)
        if is_spent(delivery.queue, delivery.deliveries, most):
            value = self._wire.pack(delivery.value)
            if not self._bury(delivery.queue, id, receipt, value, delivery.deliveries, "it was given back"):
                raise lease_lost(delivery.queue)
        elif not self._store.quick.count(_BACK, time.time() + delay if delay else READY, id, receipt):
            raise lease_lost(delivery.queue)
        self._store.bell.ring(slot_of("queue", delivery.queue))

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        id, receipt, _ = self._receipt_of(delivery)
        if not self._store.quick.count(_RENEW, time.time() + delivery.lease, id, receipt):
            raise lease_lost(delivery.queue)

    def count(self, queue: str, *, timeout: float | None) -> int:
        """See contracts.Queues."""
        count: int = self._store.quick.change(_WAITING, arguments.name("queue", queue), time.time())[0][0]
        return count

    def _bury(self, queue: str, id: int, receipt: int, value: bytes, deliveries: int, last: str) -> bool:
        try:
            inner = self._wire.unpack(bytes_in(value))
        except ProtocolError:  # another program's, in a format that this one does not read
            inner = repr(value)
        letter = dead_letter(queue, inner, deliveries, last)
        buried = bool(self._store.durable.count(_BURY, queue + DEAD, self._wire.pack(letter), id, receipt))
        self._store.bell.ring(slot_of("queue", queue + DEAD))
        return buried

    @staticmethod
    def _receipt_of(delivery: Delivery) -> tuple[int, int, int]:
        id, receipt, most = delivery.receipt
        return id, receipt, most

    def close(self) -> None:
        """Give back what is on lease here."""
        if self._life is not None:
            self._life.close()

    def abandon(self) -> None:
        """In a forked child: take under a number of its own."""
        self._owner = self._life = None
        self._making = threading.Lock()
