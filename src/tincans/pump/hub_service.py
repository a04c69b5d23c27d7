"""The hub at work: its lock, its clock, its file, and the way of outcomes to whoever waits for them.

Rules of this file
- One lock around the hub, from the request to the delivery, so that news reaches everybody in one order. (News for one
  subscriber alone does without: a single step finds him, and his outlet keeps the order.)
- What must survive is committed before its answer is given; when that fails nobody is told that it worked.
- Delivering never blocks: remote tickets are posted, local ones only woken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

from tincans.contracts import Policy
from tincans.core.failures import failure_of
from tincans.core.messages import Reply, Request
from tincans.errors import ClosedError, TincansError
from tincans.pump.carrying import taken_in
from tincans.pump.flows import News as NewsOutlet
from tincans.pump.link import Link
from tincans.pump.reactor import Background, Timer

if TYPE_CHECKING:
    from tincans.core.hub import Outcome
    from tincans.pump.local_hub import LocalTicket
    from tincans.toolkit.files.keep import Keep


class Ticket(Protocol):
    """Somebody who asked the hub for something."""

    def done(self, value: Any) -> None: ...
    def failed(self, error: TincansError) -> None: ...
    def opened(self, limit: int, policy: Policy) -> None: ...
    def news(self, topic: str, value: Any) -> None: ...


def _not_opened(topic: str, value: Any) -> None:
    """No news before the stream is opened."""


class RemoteTicket:
    """A request that came over a link. Cancelling it is what a Cancel message does."""

    __slots__ = ("_service", "id", "link", "news")

    def __init__(self, service: HubService, link: Link, id: int) -> None:
        self._service = service
        self.link = link
        self.id = id
        self.news: Callable[[str, Any], NewsOutlet | None] = _not_opened

    def done(self, value: Any) -> None:
        if self.id and self.link.session.running.pop(self.id, None) is not None:
            self.link.post(Reply(self.id, value))

    def failed(self, error: TincansError) -> None:
        self.link.session.running.pop(self.id, None)
        if self.id:
            self.link.post(failure_of(self.id, error))

    def opened(self, limit: int, policy: Policy) -> None:
        self.link.session.running.pop(self.id, None)
        outlet = NewsOutlet(self.link, self.id, limit=limit, policy=policy, on_cancel=self.cancel)
        self.link.session.outlets[self.id] = outlet
        self.link.post(Reply(self.id, None, stream=True))
        self.news = outlet.push

    def cancel(self) -> None:
        """The other side said Cancel, also when that crossed the answer: what it was granted goes back."""
        self._service.cancel(self)

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, RemoteTicket) or not self.id:
            return self is other  # notifications all have the id 0
        return other.id == self.id and other.link is self.link

    def __hash__(self) -> int:
        return hash((id(self.link), self.id))


class HubService:
    """A hub that programs can talk to: the serving program itself, and everybody who is connected."""

    def __init__(self, reactor: Background, keep: Keep | None = None) -> None:
        self._reactor = reactor
        self._keep = keep
        self._lock = RLock()
        self._timer: Timer | None = None
        self._closed = False
        from tincans.core.hub import Done, Failed, Hub, News, Opened  # only those who serve need it

        self._ways: dict[type, Callable[[Any, Any], None]] = {
            News: lambda ticket, news: ticket.news(news.topic, news.value),
            Done: lambda ticket, done: ticket.done(done.value),
            Failed: lambda ticket, failed: ticket.failed(failed.error),
            Opened: lambda ticket, opened: ticket.opened(opened.limit, opened.policy),
        }
        self.hub = Hub() if keep is None else Hub.restore(keep.load(), time.monotonic())
        self._lone_listener = self.hub.topics.lone_listener

    def handles(self, name: str) -> bool:
        """Whether a reserved name is the hub's."""
        return name.startswith("$")

    def request(self, link: Link, request: Request[Any]) -> None:
        """A request that came over a link; never blocks for long, never raises."""
        ticket = RemoteTicket(self, link, request.id)
        try:
            args = taken_in(link.wire, request) or tuple(link.wire.reader(list)(request.args, request))
            if request.id:
                link.session.running[request.id] = ticket
            self.ask(link, ticket, request.name, args)
            if request.timeout == 0 and link.session.running.pop(request.id, None) is ticket:
                self.cancel(ticket)  # it may not wait
                link.post(Reply(request.id, None))
        except Exception as error:
            link.session.running.pop(request.id, None)
            failure = failure_of(request.id, error)
            if request.id:
                link.post(failure)

    def ask(self, owner: Hashable, ticket: Any, name: str, args: tuple[Any, ...]) -> None:
        """Put a request to the hub; the ticket hears the outcome, now or later."""
        with self._lock:
            if self._closed:
                raise ClosedError("This server is closing.")
            self._settle(lambda now: self.hub.request(owner, ticket, name, args, now))

    def publish(self, topic: str, value: Any, *, timeout: float | None = None) -> None:
        """What asking for "$publish" does, in fewer steps: nothing is kept of it, and nobody waits for an answer."""
        ticket: Any = self._lone_listener(topic)
        if ticket is not None and not self._closed:
            news = ticket.news(topic, value)
            if news is not None:
                news.give_way()
        else:
            self._spread(topic, value)

    def _spread(self, topic: str, value: Any) -> None:
        with self._lock:
            if self._closed:
                raise ClosedError("This server is closing.")
            full: list[NewsOutlet] | None = None
            tickets: list[Any] = self.hub.topics.listeners(topic)
            for ticket in tickets:
                news = ticket.news(topic, value)
                if news is not None:
                    full = [news] if full is None else [*full, news]
        if full is not None:
            for news in full:
                news.give_way()

    def cancel_late(self, link: Link, id: int) -> None:
        """A Cancel for a request that was answered meanwhile."""
        self.cancel(RemoteTicket(self, link, id))

    def withdraw(self, ticket: LocalTicket) -> None:
        """The serving program itself waits no longer, unless the ticket was settled at that very moment."""
        with self._lock:
            if not ticket.settled:
                self.cancel(ticket)

    def cancel(self, ticket: Hashable) -> None:
        """The ticket's owner waits no longer."""
        with self._lock:
            if not self._closed:
                self._settle(lambda now: self.hub.cancel(ticket, now))

    def gone(self, owner: Hashable) -> None:
        """A connection ended: its locks, leases, waits and subscriptions end with it."""
        with self._lock:
            if not self._closed:
                self._settle(lambda now: self.hub.gone(owner, now))

    def close(self) -> None:
        """Close the file; nothing more is accepted."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            if self._keep is not None:
                self._keep.close()

    def _settle(self, step: Callable[[float], list[Outcome]]) -> None:
        outcomes = step(time.monotonic())
        if self._keep is not None:
            outcomes = self._keep.settle(self.hub, outcomes)
        for outcome in outcomes:
            self._deliver(outcome)
        self._set_timer()

    def _deliver(self, outcome: Outcome) -> None:
        self._ways[type(outcome)](outcome.ticket, outcome)

    def _set_timer(self) -> None:
        when = self.hub.next_deadline()
        if self._timer is not None:
            if when is not None and not self._timer.cancelled and self._timer.when <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer = self._reactor.call_at(when, self._tick)

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            if not self._closed:
                self._settle(lambda now: self.hub.tick(now))
