"""The words of the seven verbs, the same on both ends: queues and jobs, state, flags, locks, subscriptions.

Rules of this file
- Faces only: each word is a line or two over a board (contracts.py), whatever keeps the board.
- Every wait takes `timeout` in seconds; None waits as long as the other end lives.
- A lock or a job is given back when its `with` block ends, also by an exception.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from tincans.contracts import (
    Answers,
    Board,
    Change,
    Delivery,
    Locks,
    Note,
    Policy,
    Queues,
    Subscription,
    Topics,
    Values,
)
from tincans.errors import LeaseLostError, TincansError, UnsupportedError, WaitTimeoutError
from tincans.facts import Facts, No, Verb
from tincans.pump.reactor import Timer, reactor

LEASE = 30.0
MAX_DELIVERIES = 5
SUBSCRIPTION_LIMIT = 10_000


class Messages:
    """A running subscription: iterate for `Note`s (topic, value, missed). Close it or leave its `with` block to end.

    When the other end dies a waiting iteration raises DisconnectedError at once; iterating again subscribes again
    when it is back, and the first note after the gap has `missed=None`.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    @property
    def dropped(self) -> int:
        """How many were lost so far because this program was slow."""
        return self._subscription.dropped

    def receive(self, *, timeout: float | None = None) -> Any:
        """The next one; WaitTimeoutError when none came within `timeout` seconds."""
        element = self._subscription.receive(timeout=timeout)
        if element is None:
            raise WaitTimeoutError(f"Nothing came within {timeout:g} s.")
        return element

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.receive()

    def close(self) -> None:
        """End it."""
        self._subscription.close()

    def __enter__(self) -> Messages:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Job:
    """A job on lease: `with` acknowledges it at the end of the block, or gives it back when the block raises.

    The lease is renewed while the block runs. `deliveries` is 1 the first time; a job that is delivered too often goes
    to the queue's dead letters.
    """

    def __init__(self, queues: Queues, delivery: Delivery, timeout: float | None, *, renew: bool = True) -> None:
        self._queues = queues
        self._delivery = delivery
        self._timeout = timeout
        self._settled = False
        self.value = delivery.value
        self.deliveries = delivery.deliveries
        self._timer: Timer | None = None
        if renew:
            self._renew_later()

    def _renew_later(self) -> None:
        self._timer = reactor().call_at(time.monotonic() + self._delivery.lease / 3, _Renewal(self))

    def _renew(self) -> None:
        if self._settled:
            return
        try:
            self._queues.renew(self._delivery, timeout=self._delivery.lease / 3)
        except TincansError:
            return  # acknowledging will say that the lease is lost
        if not self._settled:
            self._renew_later()

    def _settle(self) -> None:
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()

    def done(self) -> None:
        """Acknowledge: it is never delivered again. LeaseLostError when somebody else may have it by now."""
        self._settle()
        self._queues.acknowledge(self._delivery, timeout=self._timeout)

    def give_back(self, *, delay: float = 0.0) -> None:
        """Let somebody (or us) take it again, after `delay` seconds."""
        self._settle()
        self._queues.give_back(self._delivery, delay=delay, timeout=self._timeout)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._settled:
            return
        if kind is None:
            self.done()
            return
        try:
            self.give_back()
        except TincansError:
            pass  # the block's own error matters more; the lease ends by itself


class _Renewal:
    """A timer's job that does not keep a forgotten Job, and with it the lease, for ever."""

    def __init__(self, job: Job) -> None:
        self._job = weakref.ref(job)

    def __call__(self) -> None:
        job = self._job()
        if job is not None:
            job._renew()


class Queue:
    """Jobs for one taker each. With `renew=False` a job must be done within its `lease` (seconds).

    `max_items` and `on_full` ("wait", "drop_oldest", "refuse") bound it for what this program puts.
    """

    def __init__(
        self,
        queues: Queues,
        name: str,
        *,
        max_items: int | None = None,
        on_full: Policy = "wait",
        lease: float = LEASE,
        max_deliveries: int = MAX_DELIVERIES,
        renew: bool = True,
        timeout: float | None = 30.0,
    ) -> None:
        self._queues = queues
        self.name = name
        self._max_items = max_items
        self._on_full = on_full
        self._lease = lease
        self._max_deliveries = max_deliveries
        self._renew = renew
        self._timeout = timeout

    def put(self, value: Any, *, delay: float = 0.0, timeout: float | None = None) -> None:
        """Add a job; returns when it is safely there. FullError or WaitTimeoutError when it is not."""
        self._queues.put(
            self.name,
            value,
            limit=self._max_items,
            policy=self._on_full,
            delay=delay,
            timeout=self._timeout if timeout is None else timeout,
        )

    def take(self, *, timeout: float | None = None) -> Job:
        """The next job, waiting at most `timeout` seconds (None: as long as the other end lives); WaitTimeoutError."""
        delivery = self._queues.take(self.name, lease=self._lease, max_deliveries=self._max_deliveries, timeout=timeout)
        if delivery is None:
            raise WaitTimeoutError(f"No job in {self.name!r} within {timeout or 0:g} s.")
        return Job(self._queues, delivery, self._timeout, renew=self._renew)

    def __iter__(self) -> Iterator[Job]:
        while True:
            yield self.take()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def count(self) -> int:
        """How many jobs wait to be taken."""
        return self._queues.count(self.name, timeout=self._timeout)

    @property
    def dead(self) -> Queue:
        """The dead letters: jobs that were delivered too often without being acknowledged."""
        return Queue(self._queues, f"{self.name}.dead", lease=self._lease, timeout=self._timeout)


class State:
    """Named values: `state["k"] = v`, `state["k"]`, `del state["k"]`, `"k" in state`, `state.watch("k")`."""

    def __init__(self, values: Values, timeout: float | None = 30.0) -> None:
        self._values = values
        self._timeout = timeout

    def __getitem__(self, key: str) -> Any:
        change = self._values.get(key, timeout=self._timeout)
        if change is None:
            raise KeyError(key)
        return change.value

    def __setitem__(self, key: str, value: Any) -> None:
        self._values.set(key, value, timeout=self._timeout)

    def __delitem__(self, key: str) -> None:
        if not self._values.delete(key, timeout=self._timeout):
            raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return self._values.get(key, timeout=self._timeout) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """All keys, without those of flags."""
        return [k for k in self._values.keys(timeout=self._timeout) if not k.startswith(FLAG_PREFIX)]

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        change = self._values.get(key, timeout=self._timeout)
        return default if change is None else change.value

    def set(self, key: str, value: Any) -> None:
        """The same as `state[key] = value`."""
        self[key] = value

    def delete(self, key: str) -> bool:
        """Take the key's value away; False when it had none."""
        return self._values.delete(key, timeout=self._timeout)

    def watch(self, key: str) -> Messages:
        """Changes of one key as `Change`s (key, value, version, deleted); the present value comes first."""
        return Messages(self._values.watch(key, timeout=self._timeout))


FLAG_PREFIX = "flag:"


class Flag:
    """A boolean shared by programs, in the shape of `threading.Event`."""

    def __init__(self, values: Values, name: str, timeout: float | None = 30.0) -> None:
        self._values = values
        self._key = FLAG_PREFIX + name
        self._timeout = timeout

    def set(self) -> None:
        self._values.set(self._key, True, timeout=self._timeout)

    def clear(self) -> None:
        self._values.set(self._key, False, timeout=self._timeout)

    def is_set(self) -> bool:
        change = self._values.get(self._key, timeout=self._timeout)
        return change is not None and bool(change.value)

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set; False when `timeout` seconds have passed first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        watch = self._values.watch(self._key, timeout=self._timeout)
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                change = watch.receive(timeout=left)
                if change is None:
                    return False
                if change.value and not change.deleted:
                    return True
        finally:
            watch.close()


_holders = itertools.count(1)


class Lock:
    """One holder at a time among all programs: `with p.lock("update", timeout=5) as lock:`.

    Released when the block ends and when the holder's program or connection dies; never by age. `token` grows with
    each grant, so that whoever is written to can refuse an older holder.
    """

    def __init__(self, locks: Locks, name: str, timeout: float | None = None) -> None:
        self._locks = locks
        self.name = name
        self.timeout = timeout
        self.token: int | None = None
        self._owner = ""

    def acquire(self, *, timeout: float | None = None) -> bool:
        """True when we hold it; False when `timeout` seconds have passed first."""
        owner = f"{threading.get_ident()}-{next(_holders)}"
        token = self._locks.acquire(self.name, owner, timeout=self.timeout if timeout is None else timeout)
        if token is None:
            return False
        self.token, self._owner = token, owner
        return True

    def release(self) -> None:
        """LeaseLostError when we did not hold it (any more)."""
        if self.token is None:
            raise LeaseLostError(f"The lock {self.name!r} is not held by this object.")
        self.token = None
        self._locks.release(self.name, self._owner, timeout=30.0)

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise WaitTimeoutError(f"The lock {self.name!r} was not free within {self.timeout or 0:g} s.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            self.release()
        except TincansError:
            if kind is None:
                raise


class Words:
    """The verbs other than call, over one board. A Peer and a Server hand their users to this."""

    def __init__(self, board: Callable[[], Board], facts: Facts, url: str, timeout: float | None) -> None:
        self._board_maker = board
        self._made: Board | None = None
        self._facts = facts
        self._url = url
        self._timeout = timeout
        self._followers: list[Follower] = []

    def open(self) -> None:
        """Make the board now instead of when it is first needed."""
        _ = self._board

    @property
    def _board(self) -> Board:
        if self._made is None:
            self._made = self._board_maker()
        return self._made

    def close(self) -> None:
        """Close the method's own board, if one was used."""
        if self._made is not None:
            self._made.close()

    def need(self, verb: Verb) -> None:
        """UnsupportedError, with the reason, where the method refuses a verb."""
        verdict = self._facts.verdict(verb)
        if isinstance(verdict, No):
            raise UnsupportedError(
                f"{self._url} has no {verb}: {verdict.reason}. A method that has it: {verdict.instead}.",
                url=self._url,
                operation=verb,
            )

    def topics(self) -> Topics:
        self.need("publish")
        assert self._board.topics is not None
        return self._board.topics

    def publish(self, topic: str, value: Any) -> None:
        self.topics().publish(topic, value, timeout=self._timeout)

    def subscribe(self, pattern: str, *, limit: int = SUBSCRIPTION_LIMIT, on_full: Policy = "drop_oldest") -> Messages:
        return Messages(self.topics().subscribe(pattern, limit=limit, policy=on_full, timeout=self._timeout))

    def queue(self, name: str, **options: Any) -> Queue:
        self.need("queue")
        assert self._board.queues is not None
        return Queue(self._board.queues, name, timeout=self._timeout, **options)

    @property
    def state(self) -> State:
        self.need("state")
        assert self._board.values is not None
        return State(self._board.values, self._timeout)

    def flag(self, name: str) -> Flag:
        self.need("flag")
        assert self._board.values is not None
        return Flag(self._board.values, name, self._timeout)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        self.need("lock")
        assert self._board.locks is not None
        return Lock(self._board.locks, name, timeout)

    def follow(self, pattern: str, function: Callable[[Note], object]) -> None:
        self._followers.append(Follower(self, pattern, function))

    def end_followers(self) -> None:
        """No more of them; before the string is closed, so that they hear no error."""
        for follower in self._followers:
            follower.close()

    def answers(self) -> Answers:
        """The calls left for later; UnsupportedError where the method keeps none."""
        self.need("call")
        found = self._board.answers
        if found is None:
            raise no_answers(self._url)
        return found


def no_answers(url: str) -> UnsupportedError:
    """The method keeps no calls for later."""
    text = f"{url} keeps no calls for later: both programs must run at the same time. A method that keeps them: sqlite."
    return UnsupportedError(text, url=url, operation="leave a call")


class Follower:
    """Runs a function for each note of a topic, on a thread of its own, also after the other end came back."""

    def __init__(self, words: Words, pattern: str, function: Callable[[Note], object]) -> None:
        self._words = words
        self._pattern = pattern
        self._function = function
        self._messages = words.subscribe(pattern)
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"tincans-on-{pattern}", daemon=True).start()

    def _run(self) -> None:
        import logging

        log = logging.getLogger("tincans")
        while not self._closed.is_set():
            try:
                note = self._messages.receive()
            except TincansError as error:
                if not error.temporary:
                    return
                log.warning("The subscription to %s was cut and is made again: %s", self._pattern, error)
                self._closed.wait(0.05)
                continue
            try:
                self._function(note)
            except Exception:
                log.exception("The function for the topic %s raised.", self._pattern)

    def close(self) -> None:
        """No more of it."""
        self._closed.set()
        self._messages.close()


__all__ = ["Change", "Flag", "Follower", "Job", "Lock", "Messages", "Note", "Queue", "State", "Words"]
