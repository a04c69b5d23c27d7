"""The hub's door: a request by its reserved name goes to the part that answers it.

Rules of this file
- After every call that returns outcomes, a keeping owner takes the changes, writes them down, and only then delivers
  the outcomes. When they cannot be written it calls `undo` with the error and delivers what that returns: nothing of
  the request has happened then, and its caller is told why. `toolkit.files.keep.Keep.settle` is these steps.
- Tickets are the owner's: one per call, never used twice while something is held under it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from tincans.core.hub.claims import Claims
from tincans.core.hub.jobs import Jobs
from tincans.core.hub.journal import JobPut, Journal, Kept, KeptChange, Notes, ValueDeleted, ValueSet
from tincans.core.hub.locks import Locks
from tincans.core.hub.outcomes import Done, Failed, News, Outcome
from tincans.core.hub.queues import Queues
from tincans.core.hub.topics import Topics
from tincans.core.hub.values import Values
from tincans.errors import ArgumentError, NotExposedError, ProtocolError, TincansError

_RUN = 1 << 40
"""Numbers of jobs and tokens of locks in one run; a kept hub starts its next run above, so that none comes twice."""


@dataclass(frozen=True)
class Limits:
    """How much one hub holds at most. Sizes of values are bounded by the connections' largest message.

    `jobs` is per queue, waiting and leased together. `claims` are waits, streams, leases and held locks.
    """

    jobs: int = 1_000_000
    queues: int = 10_000
    keys: int = 1_000_000
    deleted_keys: int = 100_000
    claims: int = 100_000
    claims_of_one: int = 10_000


@dataclass(frozen=True, slots=True)
class Name:
    """A reserved name: who answers it, with how many arguments, and how it is written."""

    answer: Callable[..., None]
    least: int
    most: int
    usage: str


class Hub:
    """The topics, queues, values and locks of one serving program.

    Values are kept as they came, not copied: who puts or sets an object from inside the serving program must not change
    it afterwards.

    >>> hub = Hub()
    >>> hub.request("bob", 1, "$take", ("jobs", 30.0, 3), now=0.0)
    []
    >>> hub.request("alice", 2, "$put", ("jobs", "sweep"), now=1.0)
    [Done(ticket=2, value=1), Done(ticket=1, value=[1, 'sweep', 1, 30.0])]
    >>> hub.request("bob", 3, "$ack", ("jobs", 1), now=2.0)
    [Done(ticket=3, value=None)]
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self._claims = Claims(limits.claims, limits.claims_of_one)
        self._journal = Journal()
        self._last_notes = Notes([], [], set())
        self.topics = Topics(self._claims)
        self._queues = Queues(self._claims, Jobs(self._claims, self._journal, limits.queues, limits.jobs))
        self._values = Values(self._claims, self._journal, limits.keys, limits.deleted_keys)
        self._locks = Locks(self._claims)
        self._names = self._all_names()

    @classmethod
    def restore(cls, kept: Kept, now: float, limits: Limits = Limits()) -> Hub:
        """The hub of an earlier run, which notes its changes from now on. Leases, waits and locks ended with that run.

        >>> hub = Hub.restore(Kept(run=2, changes=[ValueSet("mood", 7, "good")]), now=0.0)
        >>> hub.request("bob", 1, "$get", ("mood",), now=0.0)
        [Done(ticket=1, value=[7, 'good'])]
        """
        hub = cls(limits)
        hub._values.restore_floor(kept.floor)
        for change in kept.changes:
            if isinstance(change, JobPut):
                hub._queues.restore(change, now)
            elif isinstance(change, (ValueSet, ValueDeleted)):
                hub._values.restore(change)
        hub._queues.restore_number(kept.run * _RUN)
        hub._locks.restore(kept.run * _RUN)
        hub._journal.on = True
        return hub

    @property
    def names(self) -> tuple[str, ...]:
        """The reserved names, all beginning with "$"."""
        return tuple(self._names)

    def request(self, owner: Hashable, ticket: Hashable, name: str, args: tuple[Any, ...], now: float) -> list[Outcome]:
        """What is to be delivered because `owner` asked `name(*args)` under `ticket`.

        No outcome for `ticket` itself means that it waits. Whatever is wrong with the request becomes `Failed`.
        """
        out: list[Outcome] = []
        known = self._names.get(name)
        try:
            if known is None:
                raise self._unknown(name)
            if not known.least <= len(args) <= known.most:
                raise ArgumentError(f"{name} takes {known.usage}; it was given {len(args)} arguments.")
            if ticket in self._claims:
                raise ProtocolError(f"{name} came with the ticket of an earlier request that still holds something.")
            known.answer(owner, ticket, now, out, *args)
        except TincansError as error:
            out.append(Failed(ticket, error))
        return out

    def cancel(self, ticket: Hashable, now: float) -> list[Outcome]:
        """The caller gave up, its deadline passed, or it closes its stream. `ticket` itself gets no outcome.

        Also to be called when the cancel and the answer crossed: a job or lock that the caller never saw goes back,
        and that delivery does not count. Unknown tickets are no fault.
        """
        claim = self._claims.find(ticket)
        if claim is None:
            return []
        claim.home.withdraw(claim, seen=False)
        return self._settled(now)

    def gone(self, owner: Hashable, now: float) -> list[Outcome]:
        """The owner's connection died: its waits and streams end, its jobs (counted) and locks go to the next."""
        claims = self._claims.leave(owner)
        for claim in claims:
            claim.home.withdraw(claim, seen=True)
        return self._settled(now) if claims else []

    def tick(self, now: float) -> list[Outcome]:
        """Time has passed: leases and delays that end by `now`."""
        self._queues.expire(now)
        return self._settled(now)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next, or None."""
        return self._queues.next_deadline()

    def take_changes(self) -> list[KeptChange]:
        """What must be written down before the outcomes of the last call are delivered; empty when nothing is kept."""
        self._last_notes = self._journal.take()
        return self._last_notes.changes

    def undo(self, error: TincansError, outcomes: list[Outcome]) -> list[Outcome]:
        """The changes just taken could not be written: take them back, and say what to deliver instead of `outcomes`.

        To be called before anything else is asked of the hub. Waits that depended on it fail with `error` too; a job
        that was to go to another taker stays ready.
        """
        notes, self._last_notes = self._last_notes, Notes([], [], set())
        for step in reversed(notes.back):
            step()
        instead: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, Done) and outcome.ticket in notes.tickets:
                instead.append(Failed(outcome.ticket, error))
            elif not isinstance(outcome, News):
                instead.append(outcome)
        self._queues.fail_waits(error, instead)
        return instead

    def _settled(self, now: float) -> list[Outcome]:
        out: list[Outcome] = []
        self._queues.settle(now, out)
        self._locks.settle(out)
        return out

    def _unknown(self, name: object) -> NotExposedError:
        close = difflib.get_close_matches(name, self._names, 1) if isinstance(name, str) and len(name) < 100 else []
        hint = f" Did you mean {close[0]}?" if close else ""
        shown = repr(name)[:100]
        return NotExposedError(f"The hub answers to no {shown}.{hint} It answers to: {', '.join(self._names)}.")

    def _all_names(self) -> dict[str, Name]:
        topics, queues, values, locks = self.topics, self._queues, self._values, self._locks
        return {
            "$publish": Name(topics.publish, 2, 2, "topic and value"),
            "$subscribe": Name(topics.subscribe, 1, 3, "pattern, and perhaps limit and policy"),
            "$put": Name(queues.put, 2, 5, "queue and value, and perhaps limit, policy and delay"),
            "$take": Name(queues.take, 1, 3, "queue, and perhaps lease and max_deliveries"),
            "$ack": Name(queues.acknowledge, 2, 2, "queue and job number"),
            "$give_back": Name(queues.give_back, 2, 3, "queue and job number, and perhaps delay"),
            "$renew": Name(queues.renew, 2, 2, "queue and job number"),
            "$count": Name(queues.count, 1, 2, "queue, and perhaps what to count"),
            "$get": Name(values.get, 1, 1, "key"),
            "$set": Name(values.set, 2, 2, "key and value"),
            "$delete": Name(values.delete, 1, 1, "key"),
            "$keys": Name(values.keys, 0, 1, "perhaps a prefix"),
            "$watch": Name(values.watch, 1, 1, "key"),
            "$wait": Name(values.wait, 2, 2, "key and value"),
            "$acquire": Name(locks.acquire, 2, 2, "lock and holder"),
            "$release": Name(locks.release, 2, 2, "lock and holder"),
        }
