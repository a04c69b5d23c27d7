"""The door of our own clients: one line of the json wire in, one out; and the hub's topics as events for everybody.

Rules of this file
- A name that begins with "$" is a question to the hub. Locks are refused: a request ends before its lock would.
- A job that was given to a client which has gone meanwhile goes back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from tincans.contracts.protocol import Service
from tincans.core.failures import failure_of
from tincans.core.messages import Item, Message, Publication, Reply, Request
from tincans.errors import NotExposedError, ProtocolError
from tincans.protocols.http.events import event_text
from tincans.protocols.http.flow import Flow, Iteration, News
from tincans.protocols.http.problems import Problem, refuse_locks
from tincans.protocols.http.running import Runner
from tincans.protocols.http.visit import MOST_SECONDS, Gone, Visit
from tincans.wires._plain_json import plain
from tincans.wires.json import WIRE

_STREAMS = frozenset({"$subscribe", "$watch"})
_QUESTIONS = frozenset(
    ["$publish", "$put", "$take", "$ack", "$give_back", "$renew", "$count", "$get", "$set", "$delete", "$keys", "$wait"]
)
_list = WIRE.reader(list[Any])


class LineDoor:
    """Calls, streams and the hub, for clients that speak the json wire."""

    def __init__(self, service: Service, runner: Runner) -> None:
        self._service = service
        self._runner = runner

    async def visited(self, visit: Visit) -> None:
        """One line."""
        body = await visit.body()
        try:
            request = WIRE.decode([body])
        except ProtocolError as error:
            raise Problem(400, str(error)) from None
        if not isinstance(request, Request):
            raise Problem(400, 'Only a line with "call" can come here.')
        try:
            if request.id == 0:
                await self._take_note(visit, request)
            elif request.name in _STREAMS:
                await self._open(visit, request)
            else:
                await self._answer(visit, request)
        except (Gone, Problem):
            raise
        except Exception as error:
            await visit.answer(200, _line(failure_of(request.id or 1, error)))

    async def _answer(self, visit: Visit, request: Request[Any]) -> None:
        if request.name[:1] == "$" and request.name != "$describe":
            written: Any = await self._asked(visit, request)
        else:
            written = await self._runner.call(request, WIRE, visit.caller, _written, _bounded(request.timeout))
        if isinstance(written, bytes):
            await visit.answer(200, written)
        else:
            await visit.stream(Flow(Iteration(written, _element, _failure), self._runner))

    async def _take_note(self, visit: Visit, request: Request[Any]) -> None:
        """A line without an id: its answer is wanted by nobody."""
        if request.name[:1] == "$":
            name, args = self._question(request)
            await self._runner.wait(lambda: self._service.tell(name, *args), name, visit.settings.call_timeout)
        else:
            await self._runner.leave(request, WIRE, visit.caller)
        await visit.nothing(204)

    def _question(self, request: Request[Any]) -> tuple[str, list[Any]]:
        refuse_locks(request.name)
        if request.name not in _QUESTIONS | _STREAMS:
            raise NotExposedError(f"There is no {request.name[:60]} here.")
        return request.name, _list(request.args, request)

    async def _asked(self, visit: Visit, request: Request[Any]) -> bytes:
        name, args = self._question(request)
        timeout = _bounded(request.timeout)

        def ask() -> bytes:
            return _line(Reply(1, self._service.ask(name, *args, timeout=timeout)))

        if name != "$take" or not timeout:
            return await self._runner.wait(ask, name, timeout or visit.settings.call_timeout)
        return await self._taken(visit, args, timeout)

    async def _taken(self, visit: Visit, args: list[Any], timeout: float) -> bytes:
        job: list[Any] = []

        def take() -> bytes:
            job[:] = self._service.ask("$take", *args, timeout=timeout) or []
            return _line(Reply(1, job or None))

        taking = asyncio.ensure_future(self._runner.wait(take, "$take", timeout))
        gone = asyncio.ensure_future(visit.gone())
        try:
            await asyncio.wait({taking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            taking.add_done_callback(
                lambda done: None if done.cancelled() or done.exception() else self._give_back(args[0], job)
            )
            raise Gone
        finally:
            gone.cancel()

    def _give_back(self, queue: Any, job: list[Any]) -> None:
        if job:
            self._runner.keep_busy(lambda: self._service.tell("$give_back", queue, job[0], 0.0))

    async def _open(self, visit: Visit, request: Request[Any]) -> None:
        name, args = self._question(request)
        elements = await self._runner.wait(
            lambda: self._service.open(name, *args, timeout=visit.settings.call_timeout), name, None
        )
        await visit.stream(Flow(News(elements, _news, _failure), self._runner))

    async def show_events(self, visit: Visit) -> None:
        """GET /-/events?topic=PATTERN: the published values as plain JSON, each an event named by its topic."""
        topics = parse_qs(visit.query.decode("latin-1")).get("topic", [])
        if len(topics) != 1:
            raise Problem(400, "Name one topic or pattern: /-/events?topic=news.*")
        elements = await self._runner.wait(
            lambda: self._service.open("$subscribe", topics[0], timeout=visit.settings.call_timeout), "$subscribe", None
        )
        await visit.stream(Flow(News(elements, _plain_news, _failure), self._runner))


def _bounded(timeout: float | None) -> float | None:
    """What a stranger's line asks for; not a number is 0, for it is below nothing and above nothing."""
    return None if timeout is None else min(max(0.0, timeout), MOST_SECONDS)


def _line(message: Message) -> bytes:
    return bytes(WIRE.encode(message)[0])


def _written(result: Any) -> bytes | Iterator[Any]:
    return result if hasattr(result, "__next__") else _line(Reply(1, result))


def _element(element: Any) -> bytes:
    return event_text(_line(Item(1, element)))


def _news(element: Any) -> bytes:
    topic, value, dropped = element
    return event_text(_line(Publication(1, topic, value, dropped)))


def _plain_news(element: Any) -> bytes:
    topic, value, _ = element
    return event_text(plain(value), topic)


def _failure(error: Exception) -> bytes:
    return event_text(_line(failure_of(1, error)), "error")
