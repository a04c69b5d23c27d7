"""Plain requests, the shortest way: run as they come and answered at once, on the thread that read them.

Rules of this file
- The same meaning as receiving.py and execution.py in as few steps as Python can; over a ring, all of it is C
  (_speed/serve.c). Whatever is not plain is handed back, with the reading role, before anything of it was run.
- Long functions are the price of no step in between; nothing that is not on the way of every call belongs in them.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from tincans.contracts import Buffer
from tincans.pump.execution import ANSWER_TIMEOUT, SLOW, SLOW_CALLS, UNCANCELLABLE, Executor, calling_now, request_of
from tincans.pump.quick import Quick
from tincans.pump.receiving import SHARE, STAY
from tincans.pump.sending import CORK_MESSAGES

if TYPE_CHECKING:
    from tincans.pump.link import Link


def serve(link: Link, quick: Quick, executor: Executor, linger: float) -> list[Buffer] | None:
    """With the reading role: run plain requests, and answer them, as long as nothing else comes.

    The parts of what came instead, or [] when nothing came for `linger` seconds; None when somebody else has the role.
    """
    string = quick.string
    receive, read, fits, reply, send = quick.receive, quick.read, quick.fits, quick.reply, quick.send
    reading, running, find = link.reading, link.session.running, executor.dispatcher.exposed.get
    parity, attended = link.session.other_parity, link.reactor.attended
    whole, ready, corked = link.sends_whole, quick.ready, link.corked
    pending = link.connection.pending if ready is None else ready.__len__
    queue = link.reactor.queued
    line, flow = quick.line, quick.flow
    if quick.how is None and (line is not None or flow is not None):
        quick.how = _how(link, quick, executor)
    patient, count = linger, 0
    while True:
        if queue and linger < STAY:  # others have something to read as well
            patient, count = 0.0, count + 1
            if count > SHARE:
                return []
        else:
            patient = linger
        if not whole:  # several answers leave in one go; see `Receiving._next_request`
            link.more_here = False
            if corked and not pending():
                link.uncork_at_once()
        data: Any
        if line is not None:
            data = line.serve(quick.how, linger, linger < STAY)
            if data is False:
                return None
        else:
            data = ready.popleft() if ready and link.dead is None else receive(patient)
            if flow is not None and type(data) is bytes and data:
                data = flow.serve_ready(quick.how, data, linger < STAY)
                if data is None and not queue:
                    continue  # all of it was served
                return None if data is False else [] if data is None else [data]
        if data is None or data == b"":
            return quick.parts_of(data) or []
        beside = type(data) is list
        if beside:
            data = quick.parts_of(data)
        found: Any = read(data)
        if found is None or len(found) != 4:
            return data if beside else [data]
        id, name, args, _ = found
        exposed = find(name)
        if (
            exposed is None
            or exposed.slow
            or not fits(args, exposed.plain)
            or id & 1 != parity
            or not id
            or id in running
        ):
            return data if beside else [data]
        link.heard += 1
        if not whole:
            link.more_here = bool(pending())
        running[id] = UNCANCELLABLE
        reading.release()
        if link.parked:
            link.nudge_next()
        if link not in attended:
            link.reactor.attend(link)
        calling_now.set((link, found))
        began = monotonic()
        try:
            result = exposed.function(*args)
            if monotonic() - began > SLOW:
                exposed.slow = SLOW_CALLS
            answer = reply(id, result)
            if answer is None:
                if not _answered_beside(link, quick, id, result):
                    executor.answer(link, request_of(found), result)
            elif running.pop(id, None) is None:
                pass  # the caller has given up
            elif link.more_here and len(answer) < link.short:
                corked.append([answer])
                if not link.more_here or len(corked) >= CORK_MESSAGES:
                    link.uncork_answers()
            elif link.more_here or link.posted or corked or string.owes_word or not send(answer):
                link.reply_parts([answer], timeout=ANSWER_TIMEOUT)
        except BaseException as error:  # also sys.exit(): its caller waits for an answer
            executor.fail(link, request_of(found), error)
        if beside:  # a waiting thread must not keep the memory of the last request
            data = found = args = None
            calling_now.set(None)
        result = None
        if not reading.acquire(False):
            return None


def _how(link: Link, quick: Quick, executor: Executor) -> tuple[Any, ...]:
    """What the C core (serve.c) needs to run the requests of a link: tables, and what becomes of their results."""

    def finish(found: Any, result: Any) -> None:
        if not _answered_beside(link, quick, found[0], result):
            executor.answer(link, request_of(found), result)

    def fail(found: Any, error: BaseException) -> None:
        executor.fail(link, request_of(found), error)

    def say(data: bytes) -> None:
        link.reply_parts([data], timeout=ANSWER_TIMEOUT)

    session, exposed = link.session, executor.dispatcher.exposed
    functions = finish, fail, say, quick.send
    numbers = session.other_parity, SHARE, SLOW, SLOW_CALLS
    return exposed, link.reactor.queued, calling_now, UNCANCELLABLE, *functions, *numbers


def _answered_beside(link: Link, quick: Quick, id: int, result: Any) -> bool:
    """Whether it was an array, and the answer has been seen to."""
    parts = None if quick.live.any_writable() else quick.reply_beside(id, result)
    if parts is None:
        return False
    if link.session.running.pop(id, None) is None:
        return True  # the caller has given up
    if link.more_here or link.posted or link.corked or not quick.send_beside(parts):
        link.reply_parts(parts, timeout=ANSWER_TIMEOUT)
    return True
