"""Running the other side's requests: find, validate, call, answer.

Rules of this file
- A short function runs on the thread that read its request; one that was seen to be slow first lets another
  thread read on.
- Whatever the function does (return, raise, yield, await), exactly one answer goes back, or none to a notify.
- `caller()` tells a running function who called it.
- A repeated idempotent call (same key) is answered from the journal, not run again (repeats.py).
- While a server is still being set up, a name that is not exposed yet is waited for: its caller may be the quicker one.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from tincans.contracts import Identity
from tincans.core.failures import failure_of, survivable
from tincans.core.messages import Failure, Reply, Request
from tincans.core.streams import WINDOW
from tincans.errors import CallCancelledError, DisconnectedError, NotExposedError, TincansError
from tincans.pump.flows import Pull
from tincans.pump.link import Link
from tincans.pump.references import CALL_BACK, synchronous
from tincans.pump.repeats import Answer, Repeats
from tincans.pump.sending import RELEASE
from tincans.pump.turns import UNBOUNDED

if TYPE_CHECKING:
    from tincans.core.dispatch import Dispatcher, Exposed

SLOW = 0.001
"""Seconds: a function that took longer lets another thread read on before it runs, the next SLOW_CALLS times."""

SLOW_CALLS = 20
"""Then it is taken for a quick one again, which the system only held up once."""

ANSWER_TIMEOUT = 30.0
SETTING_UP = 1.0
"""Seconds after its start, or until `run`, in which a server may still expose what is called already."""

LOOK_AGAIN = 0.01


class Caller:
    """Who calls: `pid`, `uid`, `address`, `key_name`; whether the caller has given up; and the way back to it."""

    __slots__ = ("_link", "_request")

    def __init__(self, link: Link, request: Request[Any]) -> None:
        self._link = link
        self._request = request

    @property
    def identity(self) -> Identity:
        return self._link.identity

    @property
    def pid(self) -> int | None:
        """The process, as the kernel says (None over a network)."""
        return self._link.identity.pid

    @property
    def uid(self) -> int | None:
        """The user, as the kernel says (None over a network)."""
        return self._link.identity.uid

    @property
    def address(self) -> str:
        return self._link.identity.address

    @property
    def key_name(self) -> str:
        """The name of the key that it proved to have, or ""."""
        return self._link.identity.key_name

    @property
    def cancelled(self) -> bool:
        """Whether the caller has given up or is gone: a long function may stop then."""
        id = self._request.id
        return self._link.dead is not None or bool(id and id not in self._link.session.running)

    @property
    def call(self) -> Any:
        """The caller's own exposed functions: `tincans.caller().call.progress(0.5)` (awaited in the async face)."""
        return _BackCalls(self._link, self._request.timeout or ANSWER_TIMEOUT)

    @property
    def timeout(self) -> float | None:
        """Seconds that the caller allowed for this call when it was sent."""
        return self._request.timeout


class _BackCalls:
    """`caller().call`: an attribute is a function that the calling program exposes."""

    __slots__ = ("_link", "_timeout")

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._link.call_there(name, args, kwargs, timeout=self._timeout)


calling_now: contextvars.ContextVar[Any] = contextvars.ContextVar("caller", default=None)


def caller() -> Caller:
    """Who calls the function that is running now. LookupError outside of one.

    >>> caller()
    Traceback (most recent call last):
    LookupError: caller() is for functions that are being called by another program
    """
    found = calling_now.get()
    if found is None:
        raise LookupError("caller() is for functions that are being called by another program")
    link, request = found
    return Caller(link, request_of(request))


PlainRequest = tuple[int, str, tuple[Any, ...], float | None]
"""What the C core reads: an id, the name of a function, its arguments, and the seconds that its caller waits."""


def request_of(asked: Request[Any] | PlainRequest) -> Request[Any]:
    """A request as a message; the arguments of a plain one have been read."""
    if not isinstance(asked, tuple):
        return asked
    id, name, _, timeout = asked
    return Request(id, name, (), None, timeout)


class Running:
    """A call that we work on, for the one who may cancel it."""

    __slots__ = ("cancel",)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


PLAIN_RESULTS = frozenset({type(None), bool, int, float, str, bytes})
"""Results that are certainly no stream, no coroutine, and no trouble to send."""


def _nothing() -> None:
    pass


UNCANCELLABLE = Running(_nothing)


class Executor:
    """Runs requests with the functions of one dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.repeats = Repeats()
        self.set_up_at = 0.0
        """Until then (time.monotonic) an unknown name may still be exposed."""
        self.active: set[int] = set()
        """Notifications and async calls (by identity) that a function of ours works on; others are in `running`."""

    def execute(self, link: Link, request: Request[Any]) -> None:
        """Run one request and answer it; never raises."""
        try:
            name = request.name
            if name[:1] == "$" and name.startswith(CALL_BACK):
                self._call_back(link, request)
                return
            exposed = self.dispatcher.find(name)
            if link.redelivered and not exposed.idempotent:
                raise may_have_happened(name)
            args, kwargs = exposed.arguments(link.wire, request, link.references)
            if request.key is not None and not self.is_first(link, request):
                return
            self._run(link, request, exposed, args, kwargs)
            calling_now.set(None)  # an idle thread must not keep the memory of a large argument
        except BaseException as error:  # also sys.exit(): its caller waits for an answer, whatever it is
            self.fail(link, request, error)

    def is_first(self, link: Link, request: Request[Any]) -> bool:
        """Whether a call with a key has to be run. If not, it has been answered, or will be by an attempt that runs."""
        if request.id:
            link.session.running[request.id] = UNCANCELLABLE
        answer = self.repeats.begin(link, request)
        if answer is True:
            return True
        if callable(answer):
            self._answer_alike([(link, request)], answer)
        return False

    def _answer_alike(self, waiting: list[tuple[Link, Request[Any]]], answer: Answer) -> None:
        for link, request in waiting:
            if link.session.running.pop(request.id, None) is not None:
                self._send(link, answer(request.id))

    def _run_anew(self, waiting: list[tuple[Link, Request[Any]]]) -> None:
        for link, request in waiting:
            link.session.running.pop(request.id, None)
            link.owner.execute(link, request)

    def _run(self, link: Link, request: Request[Any], exposed: Exposed, args: Any, kwargs: Any) -> None:
        number, running = request.id, link.session.running
        if number:
            running[number] = UNCANCELLABLE
        else:
            self.active.add(id(request))
        if exposed.slow:
            link.hand_over()
        began = monotonic()
        calling_now.set((link, request))
        try:
            result = exposed.function(*args, **kwargs) if kwargs else exposed.function(*args)
        finally:
            if not number:
                self.active.discard(id(request))
        if monotonic() - began > SLOW:
            exposed.slow = SLOW_CALLS
        elif exposed.slow:
            exposed.slow -= 1
        if number and type(result) in PLAIN_RESULTS and request.key is None:
            if running.pop(number, None) is not None:
                link.reply(Reply(number, result), timeout=ANSWER_TIMEOUT)
            return
        self.answer(link, request, result)

    def is_busy(self, links: Iterable[Link]) -> bool:
        """Whether a function is still running for somebody."""
        if self.active:
            return True
        return any(isinstance(task, Running) for link in links for task in list(link.session.running.values()))

    def answer(self, link: Link, request: Request[Any], result: Any) -> None:
        """Send what the function gave: a value, a stream, or what is still awaited."""
        id = request.id
        if hasattr(result, "__await__"):
            self._await(link, request, result)
            return
        if hasattr(result, "__next__") or hasattr(result, "__anext__"):
            self._stream(link, request, result)
            return
        if id == 0:
            return
        if request.key is not None:  # also when the caller is gone: it may come back and ask again
            answer: Answer = lambda number: Reply(number, result)  # noqa: E731
            self._answer_alike(self.repeats.settle(request.key, answer), answer)
        if link.session.running.pop(id, None) is None:
            return  # the caller has given up
        self._send(link, Reply(id, result))

    def _send(self, link: Link, reply: Reply[Any] | Failure) -> None:
        try:
            link.reply(reply, timeout=ANSWER_TIMEOUT)
        except TincansError as error:
            if link.dead is None:  # it could not be said: the caller must still get an answer
                link.post(failure_of(reply.id, error))

    def _stream(self, link: Link, request: Request[Any], result: Any) -> None:
        id = request.id
        if request.key is not None:
            self._run_anew(self.repeats.forget(request.key))
        iterator = synchronous(result)
        if id == 0 or link.session.running.pop(id, None) is None:
            close = getattr(iterator, "close", _nothing)
            close()
            return
        pull = Pull(link, id, iterator, credit=0)
        link.session.outlets[id] = pull  # before the answer: a Cancel may follow it at once
        try:
            link.send(Reply(id, None, stream=True), timeout=ANSWER_TIMEOUT)
        except TincansError:  # the wire has no streams, or the link is gone
            link.session.outlets.pop(id, None)
            pull.cancel()
            raise
        pull.grant(WINDOW if link.turns is None else UNBOUNDED)

    def _await(self, link: Link, request: Request[Any], coroutine: Any) -> None:
        from tincans.toolkit import asyncio_bridge

        self.active.add(id(request))

        def then(result: Any, error: BaseException | None) -> None:
            self.active.discard(id(request))
            if error is None:
                link.reactor.submit(lambda: self._answer_safely(link, request, result))
            elif not isinstance(error, Exception):
                self.fail(link, request, CallCancelledError("The call was cancelled in the serving program."))
            else:
                self.fail(link, request, error)

        cancel = asyncio_bridge.run(awaited(coroutine, (link, request)), then)
        if request.id and request.id in link.session.running:
            link.session.running[request.id] = Running(cancel)

    def _answer_safely(self, link: Link, request: Request[Any], result: Any) -> None:
        try:
            self.answer(link, request, result)
        except Exception as error:
            self.fail(link, request, error)

    def fail(self, link: Link, request: Request[Any], error: BaseException) -> None:
        """Tell the caller that it went wrong."""
        if isinstance(error, NotExposedError) and self._may_still_come(link, request):
            return
        id = request.id
        failure = failure_of(id, error)
        if request.key is not None:
            if isinstance(error, CallCancelledError):
                self._run_anew(self.repeats.forget(request.key))
            else:
                rest = (failure.code, failure.type_name, failure.message, failure.traceback)
                answer: Answer = lambda number: Failure(number, *rest)  # noqa: E731
                self._answer_alike(self.repeats.settle(request.key, answer), answer)
        link.session.running.pop(id, None)
        if id:
            link.post(failure)

    def _may_still_come(self, link: Link, request: Request[Any]) -> bool:
        """Whether the name is not exposed, but may be in a moment; then the request is run again soon."""
        now = monotonic()
        is_set_up = not self.set_up_at or now > self.set_up_at + link.patience
        if is_set_up or self.dispatcher.knows(request.name) or request.name.startswith("$"):
            return False
        link.reactor.call_at(now + LOOK_AGAIN, lambda: link.owner.execute(link, request))
        return True

    def _call_back(self, link: Link, request: Request[Any]) -> None:
        function = self.function_to_call_back(link, request)
        args, kwargs = self.plain_arguments(link, request)
        if request.id:
            link.session.running[request.id] = UNCANCELLABLE
        self.answer(link, request, function(*args, **kwargs))

    def function_to_call_back(self, link: Link, request: Request[Any]) -> Callable[..., Any]:
        """The function of ours that a `$back:` request means."""
        function: Callable[..., Any] | None = link.session.functions.get(int(request.name[len(CALL_BACK) :]))
        if function is None:
            raise CallCancelledError("This function can no longer be called back.")
        return function

    def plain_arguments(self, link: Link, request: Request[Any]) -> tuple[Any, Any]:
        """Arguments as they are, for a function that nobody described."""
        read = link.wire.reader(Any)
        return read(request.args, request), {} if request.kwargs is None else read(request.kwargs, request)


def may_have_happened(name: str) -> DisconnectedError:
    """A request came again, and its function must not be run twice."""
    return DisconnectedError(
        f"{name} was taken by a serving program that died before its answer: it may or may not have happened (outcome"
        " unknown). A function that may be run again is exposed with idempotent=True.",
        outcome="unknown",
    )


async def awaited(awaitable: Any, visit: Any) -> Any:
    """Its result; `caller()` in it is who `visit` says: the link and the request."""
    calling_now.set(visit)
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise survivable(error) from None


def release(link: Link, request: Request[Any]) -> bool:
    """A reserved request that any side understands: the other one dropped a function of ours."""
    if request.name != RELEASE:
        return False
    for number in link.wire.reader(Any)(request.args, request):
        link.session.functions.pop(number, None)
    return True
