"""Jobs in a JSON document: `"queues": {"jobs": [{"value": 5}, {"value": 6, "deliveries": 1, "lease": {...}}]}`.

Rules of this file
- A job is `{"value": ...}`; a script may append just that. `deliveries`, `lease` (receipt, until), `due` are ours.
- A job keeps its place until it is acknowledged, so one that comes back is taken before those behind it. A lease is
  over when its time is up (the clock of the machine), whatever became of its holder.
- Whoever waits looks without the lock and takes with it.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import msgspec

from tincans.contracts import Delivery, Policy, Wire
from tincans.core.hub import arguments
from tincans.core.hub.dead_letter import DEAD, dead_letter, is_spent
from tincans.core.hub.queue_errors import lease_lost, no_room, queue_full
from tincans.errors import KeepError
from tincans.toolkit.document.json_document import Draft, JsonDocument
from tincans.toolkit.files.change_watch import until

Job = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class DocumentQueues:
    """contracts.Queues in a JsonDocument."""

    def __init__(self, document: JsonDocument, wire: Wire) -> None:
        self._document = document
        self._wire = wire

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        """See contracts.Queues."""
        arguments.name("queue", queue)
        arguments.policy(policy)
        arguments.seconds("The delay", delay, zero=True)
        if limit is not None:
            arguments.count("The limit of a queue", limit, least=1)
        job: Job = {"value": msgspec.json.decode(self._wire.pack(value))}
        if delay:
            job["due"] = time.time() + delay
        place = self._document.path.parent
        if not until(lambda: self._put(queue, job, limit, policy, timeout), place, timeout=timeout):
            raise no_room(queue, timeout)

    def _put(self, queue: str, job: Job, limit: int | None, policy: Policy, timeout: float | None) -> bool | None:
        if policy == "wait" and limit is not None and len(_waiting(self._jobs(queue))) >= limit:
            return None
        with self._document.changing(timeout=_at_least(timeout)) as draft:
            jobs = _list(draft, queue)
            waiting = _waiting(jobs)
            if limit is not None and len(waiting) >= limit:
                if policy != "drop_oldest":
                    draft.unchanged()
                    if policy == "refuse":
                        raise queue_full(queue, len(waiting))
                    return None
                for oldest in waiting[: len(waiting) - limit + 1]:
                    _remove(jobs, oldest)
            jobs.append(job)
            return True

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        """See contracts.Queues."""
        arguments.name("queue", queue)
        arguments.seconds("A lease", lease, zero=False)
        return until(
            lambda: self._take(queue, lease, max_deliveries, timeout),
            self._document.path.parent,
            timeout=timeout,
            pause=lambda: _next_time(self._jobs(queue)) - time.time(),
        )

    def _take(self, queue: str, lease: float, most: int, timeout: float | None) -> Delivery | None:
        if not _ready(self._jobs(queue)):
            return None
        with self._document.changing(timeout=_at_least(timeout)) as draft:
            jobs = _list(draft, queue)
            buried = 0
            for job in _ready(jobs):
                deliveries = _deliveries(job)
                if is_spent(queue, deliveries, most):
                    _bury(draft, queue, job)
                    buried += 1
                    continue
                receipt = str(uuid.uuid4())
                job["deliveries"] = deliveries + 1
                job["lease"] = {"receipt": receipt, "until": time.time() + lease}
                value = self._wire.unpack(_encode(job.get("value")))
                return Delivery(queue, value, deliveries + 1, lease, receipt)
            if not buried:
                draft.unchanged()
            return None

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        with self._document.changing(timeout=timeout) as draft:
            _remove(_list(draft, delivery.queue), _leased(draft, delivery))

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        """See contracts.Queues."""
        arguments.seconds("The delay", delay, zero=True)
        with self._document.changing(timeout=timeout) as draft:
            job = _leased(draft, delivery)
            del job["lease"]
            if delay:
                job["due"] = time.time() + delay

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        with self._document.changing(timeout=timeout) as draft:
            _leased(draft, delivery)["lease"]["until"] = time.time() + delivery.lease

    def count(self, queue: str, *, timeout: float | None) -> int:
        """See contracts.Queues."""
        return len(_waiting(self._jobs(queue)))

    def _jobs(self, queue: str) -> list[Job]:
        return _checked(self._document.now().get("queues", {}).get(queue, []))


def _at_least(timeout: float | None) -> float | None:
    """The lock is held for milliseconds: even who does not wait for a job waits for that."""
    return None if timeout is None else max(timeout, 5.0)


def _checked(jobs: Any) -> list[Job]:
    """Only what is a job; what a stranger may have put between them stays, and is passed over."""
    return [job for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else []


def _list(draft: Draft, queue: str) -> list[Job]:
    jobs: Any = draft.section("queues").setdefault(queue, [])
    if not isinstance(jobs, list):
        raise KeepError(
            f'The queue {queue!r} in the file is no list but {type(jobs).__name__}. Mend it: "{queue}": [].'
        )
    return jobs


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _deliveries(job: Job) -> int:
    return int(_number(job.get("deliveries", 0)))


def _free_at(job: Job) -> float:
    """When nobody holds it, as far as is known now."""
    lease = job.get("lease")
    return _number(lease.get("until")) if isinstance(lease, dict) else 0.0


def _waiting(jobs: Any) -> list[Job]:
    now = time.time()
    return [job for job in _checked(jobs) if _free_at(job) <= now]


def _ready(jobs: Any) -> list[Job]:
    now = time.time()
    return [job for job in _waiting(jobs) if _number(job.get("due")) <= now]


def _next_time(jobs: list[Job]) -> float:
    now = time.time()
    times = [when for job in jobs if (when := max(_free_at(job), _number(job.get("due")))) > now]
    return min(times, default=now + 1.0)


def _remove(jobs: list[Job], job: Job) -> None:
    """That very job: another one may look the same."""
    del jobs[next(at for at, each in enumerate(jobs) if each is job)]


def _leased(draft: Draft, delivery: Delivery) -> Job:
    for job in _checked(_list(draft, delivery.queue)):
        lease = job.get("lease")
        if isinstance(lease, dict) and lease.get("receipt") == delivery.receipt and _free_at(job) > time.time():
            return job
    raise lease_lost(delivery.queue)


def _bury(draft: Draft, queue: str, job: Job) -> None:
    _remove(_list(draft, queue), job)
    letter = dead_letter(queue, job.get("value"), _deliveries(job))
    _list(draft, queue + DEAD).append({"value": letter})
