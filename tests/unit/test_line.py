"""A whole plain call in the C core: when it may, what it passes on, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from growth import blocks_left_by

import tincans
from tincans.conformance.patience import eventually
from tincans.errors import CallTimeoutError, ClosedError, DisconnectedError
from tincans.pump.calling import future_class

core: Any = pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")
ring: Any = pytest.importorskip("tincans._speed.ring")


@pytest.fixture
def server() -> Iterator[Any]:
    with tincans.serve("shm:line") as server:
        server.expose(_add, name="add")
        server.expose(_same, name="same")
        server.expose(time.sleep, name="sleep")
        yield server


@pytest.fixture
def alice(server: Any) -> Iterator[Any]:
    with tincans.connect(server.url) as peer:
        peer.call.add(0, 0)  # from now on the link is in use
        yield peer


def _add(a: int, b: int = 10) -> int:
    return a + b


def _same(value: Any) -> Any:
    return value


def test_plain_calls_are_made_and_answered_by_the_core(server: Any, alice: Any) -> None:
    values = [None, True, -1, 2**63 - 1, 1.5, "text", "", b"bytes", "\u00e9\u4e2d"]
    lines = [alice._way.line, *(link.quick.line for link in server._host.links)]
    before = [line.heard for line in lines]
    for _ in range(20):
        assert [alice.call.same(value) for value in values] == values
        assert alice.call.add(2) == 12
    # A few may go the other way: when the machine holds us up for long, the link is looked at first.
    assert [line.heard - heard > 150 for line, heard in zip(lines, before, strict=True)] == [True, True]


def test_what_is_not_plain_is_called_otherwise(alice: Any) -> None:
    assert alice.call.add(a=1, b=2) == 3
    for value in ([1, {"x": 2}], 2**64, "long" * 2000, {1, 2}):
        assert alice.call.same(value) == value
    assert alice.call.add(1, 1) == 2


def test_a_function_of_another_program_has_its_name(alice: Any) -> None:
    function = alice.call.add
    assert isinstance(function, core.Function)
    assert (function.__name__, function.__qualname__, repr(function)) == (
        "add",
        "add",
        "<function add of another program>",
    )


def test_a_link_that_rested_is_looked_at_before_it_is_used(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    probe = type(alice._way.latest).probe
    monkeypatch.setattr(type(alice._way.latest), "probe", lambda link: looks.append(link) or probe(link))
    alice.call.add(1, 1)
    assert not looks
    time.sleep(0.06)  # longer than PROBE_AFTER
    assert alice.call.add(1, 2) == 3
    assert len(looks) == 1


def test_a_call_beside_another_one_takes_its_place_behind_it(alice: Any) -> None:
    slow = threading.Thread(target=alice.call.sleep, args=(0.2,))
    slow.start()
    eventually(lambda: alice._way.latest.reading.locked())
    began = time.monotonic()
    assert alice.call.add(3, 4) == 7
    assert time.monotonic() - began < 0.15
    slow.join()
    assert alice.call.add(3, 5) == 8


class ServedLink:
    """A link for a Line; `meanwhile` runs when the role is free and the function has not been called yet."""

    dead: Any = None

    def __init__(self, ring: Any, ready: Any = None) -> None:
        self.ran: list[str] = []
        self.sent: list[list[bytes]] = []
        self.meanwhile: Callable[[], Any] = lambda: None
        self.role = core.Role()
        self.calls: dict[int, Any] = {}
        self.corked: deque[list[bytes]] = deque()
        tables: list[Any] = [self.calls, {}, {}, (), (), self.corked, (), {}]
        deadlines = SimpleNamespace(due=0.0)
        rest = None, deadlines, ready, (1, 100, 3, 1000.0)
        self.line = core.Line(ring, self.role, self, *tables, *rest)
        exposed = {
            name: SimpleNamespace(function=self._function(name), plain=((), 0), slow=0) for name in ("one", "two")
        }
        visit: ContextVar[Any] = ContextVar("visit")
        self.queued: dict[Any, None] = {}
        self.failures: list[Any] = []
        self.say: Callable[[bytes], Any] = pytest.fail
        fail = lambda found, error: self.failures.append(error)  # noqa: E731
        send = lambda data: self.sent.append([data]) or True  # noqa: E731
        functions = pytest.fail, fail, lambda data: self.say(data), send
        self.how = (exposed, self.queued, visit, object(), *functions, 1, 4, 0.001, 20)

    def _function(self, name: str) -> Callable[[], str]:
        return lambda: self.ran.append(name) or name

    def look_soon(self) -> None:
        """Nobody attends to this link: so this is called for each request."""
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    def uncork_answers(self) -> None:
        """What was kept back leaves together."""
        self.sent.append([data for [data] in self.corked])
        self.corked.clear()

    def serve(self) -> Any:
        """Take the role, and run what is there."""
        assert self.role.acquire(False)
        try:
            return self.line.serve(self.how, 0.0, False)
        finally:
            self.role.release()


def test_who_serves_on_while_a_function_is_about_to_run_changes_nothing_for_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = ring.offer(ours)
        server = ring.accept(theirs)
        link = ServedLink(server)
        link.meanwhile = link.serve  # another thread, which takes the next request first
        for id, name in ((1, "one"), (3, "two")):
            assert client.send([core.request(id, name, (), 1.0)], 1.0)
        link.serve()
        assert link.ran == ["two", "one"]
        assert [core.read(client.receive_one(1.0)) for _ in range(2)] == [(3, "two"), (1, "one")]
        client.close()
        server.close()


def test_answers_that_come_at_once_wake_their_sleeping_caller_together() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client, server = ring.offer(ours, spin=0.0), ring.accept(theirs)
        link = ServedLink(server)
        woken: list[Any] = []
        caller = threading.Thread(target=lambda: woken.append(client.receive_one(10.0)))

        def say_no_more() -> None:  # before the second function runs
            caller.join(0.2)
            assert not woken
            link.line.wake()
            caller.join(10)
            assert [core.read(answer) for answer in woken] == [(1, "one")]

        link.meanwhile = lambda: setattr(link, "meanwhile", say_no_more)
        for id in (1, 3):
            assert client.send([core.request(id, "one", (), 1.0)], 1.0)
        caller.start()
        eventually(lambda: _sleeps_in_epoll(caller))
        link.serve()
        assert woken
        assert core.read(client.receive_one(1.0)) == (3, "one")
        client.close()
        server.close()


def test_a_caller_that_sleeps_is_woken_before_anybody_waits_for_room() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client, server = ring.offer(ours, capacity=8192, spin=0.0), ring.accept(theirs)
        link, woken = ServedLink(server), []
        caller = threading.Thread(target=lambda: woken.append(client.receive_one(10.0)))
        link.how[0]["one"].function = lambda: "x" * 2000
        link.say = lambda data: caller.join(10) or server.send([data], 5.0)
        for id in range(1, 11, 2):
            assert client.send([core.request(id, "one", (), 1.0)], 1.0)
        caller.start()
        eventually(lambda: _sleeps_in_epoll(caller))
        link.serve()
        assert woken
        assert woken[0] is not None
        assert not link.failures
        client.close()
        server.close()


def test_a_function_may_end_the_link_that_it_is_called_over() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client, server = ring.offer(ours), ring.accept(theirs)
        link = ServedLink(server)
        said: list[bytes] = []
        link.say = said.append
        link.how[0]["one"].function = server.close
        for id in (1, 3):
            assert client.send([core.request(id, "one", (), 1.0)], 1.0)
        with pytest.raises(ClosedError):
            link.serve()
        assert len(said) == 1  # which finds the link closed
        assert not link.failures
        client.close()


def _sleeps_in_epoll(thread: threading.Thread) -> bool:
    """Whether it is in epoll_wait or epoll_pwait, by their numbers on x86-64 and on arm64."""
    number = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()[0]
    return number in ("232", "281", "22")


def _requests(*names: str) -> deque[bytes]:
    return deque(core.request(2 * number + 1, name, (), 1.0) for number, name in enumerate(names))


def test_over_a_stream_the_answers_to_what_came_along_leave_together() -> None:
    ready = _requests("one", "two", "one", "two", "one")
    link = ServedLink(None, ready)
    assert link.role.acquire(False)
    assert link.line.serve_ready(link.how, ready.popleft(), False) is None
    assert link.ran == ["one", "two", "one", "two", "one"]
    assert [[core.read(data) for data in together] for together in link.sent] == [
        [(1, "one"), (3, "two"), (5, "one")],  # three, as it was told
        [(7, "two"), (9, "one")],
    ]
    ready.extend(_requests("one"))
    assert link.line.serve_ready(link.how, ready.popleft(), False) is None
    assert [core.read(data) for data in link.sent[-1]] == [(1, "one")]


def test_over_a_stream_what_is_something_else_is_handed_out() -> None:
    heard: list[Any] = []
    other = core.publication(1, "topic", 2)
    ready = deque([*_requests("one"), core.reply(2, "late"), core.reply(4, 7), *_requests("nobody"), other])
    link = ServedLink(None, ready)
    link.calls[4] = SimpleNamespace(deliver_plain=heard.append)
    assert link.role.acquire(False)
    assert link.line.serve_ready(link.how, ready.popleft(), False) == _requests("nobody")[0]
    assert heard == [7]  # and nobody waited for the other answer
    assert not link.calls
    assert link.line.take_ready() == other
    assert link.line.take_ready() is None


def test_over_a_stream_others_get_their_turn() -> None:
    ready = _requests(*["one"] * 9)
    link = ServedLink(None, ready)
    link.queued[link] = None
    assert link.role.acquire(False)
    assert link.line.serve_ready(link.how, ready.popleft(), True) is None
    assert (len(link.ran), len(ready)) == (4, 5)
    assert link.line.serve_ready(link.how, ready.popleft(), False) is None  # nobody shares
    assert (len(link.ran), len(ready)) == (9, 0)


def test_over_a_stream_nothing_is_run_when_the_link_has_ended() -> None:
    ready = _requests(*["one"] * 9)
    link = ServedLink(None, ready)
    link.meanwhile = lambda: setattr(link, "dead", ClosedError("over"))
    assert link.role.acquire(False)
    assert link.line.serve_ready(link.how, ready.popleft(), False) is None
    assert (len(link.ran), len(ready)) == (1, 8)


def test_a_call_is_not_started_over_a_link_that_ends_at_that_moment() -> None:
    link = ServedLink(None, deque())
    link.calls[99] = "another"
    link.line.background = True
    way = SimpleNamespace(otherwise=lambda: "otherwise", reading=SimpleNamespace(types={}), probe_after=1000.0)
    function = core.Function(SimpleNamespace(line=link.line), "one", 1.0, None, way, future_class())
    function()  # from now on the line was used a moment ago

    def lost(phase: str, info: Any) -> None:  # in Python 3.11 within the making of the future
        link.dead = ClosedError("over")
        link.calls.clear()

    thresholds = gc.get_threshold()
    gc.callbacks.append(lost)
    gc.set_threshold(1, 1, 1)
    try:
        started = [function() for _ in range(3)]
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(lost)
    assert started[-1] == "otherwise"
    assert not link.calls


def test_what_is_for_a_ring_is_not_for_a_stream(alice: Any) -> None:
    link, over_ring = ServedLink(None, deque()), alice._way.line
    for wrong in (
        lambda: link.line.serve(link.how, 0.0, False),
        lambda: link.line.take_answers(0.0),
        lambda: over_ring.serve_ready(link.how, b"", False),
        over_ring.take_ready,
    ):
        with pytest.raises(TypeError, match="This line is over a"):
            wrong()


def test_at_the_deadline_the_call_ends_and_the_next_one_gets_its_own_answer(alice: Any) -> None:
    with pytest.raises(CallTimeoutError):
        alice.with_options(timeout=0.05).call.sleep(0.2)
    assert alice.call.add(5, 6) == 11


def test_the_end_of_the_server_is_noticed_in_the_middle_of_a_call(server: Any, alice: Any) -> None:
    links = list(server._host.links)
    threading.Timer(0.1, lambda: [link.connection.close() for link in links]).start()
    began = time.monotonic()
    with pytest.raises(DisconnectedError) as caught:
        alice.call.sleep(1)
    assert time.monotonic() - began < 0.5
    assert caught.value.outcome == "unknown"
    assert alice.url in str(caught.value)
    assert alice.call.add(1, 1) == 2  # over a new connection


def test_calls_leave_no_object_behind(alice: Any) -> None:
    def calls(times: int) -> None:
        for number in range(times):
            alice.call.add(number, 1)
            alice.call.same("text")
            alice.call.same([number])
            for wrong in (lambda: alice.call.add("x", 1), lambda: alice.call.nothing()):
                with pytest.raises(tincans.TincansError):
                    wrong()

    assert blocks_left_by(calls) < 300


def test_a_closed_link_is_free_to_go(server: Any) -> None:
    peer = tincans.connect(server.url)
    peer.call.add(1, 2)
    link = weakref.ref(peer._way.latest)
    peer.close()
    del peer

    def gone() -> bool:
        gc.collect()
        return link() is None

    eventually(gone)


@pytest.mark.parametrize(
    "make",
    [
        lambda: core.Role(1),
        lambda: core.Line(1, 2),
        lambda: core.Line(*range(13)),
        lambda: core.Function(1, 2, 3),
        lambda: core.Function(None, "add", 1.0, None, None, more=1),
        lambda: core.Function(None, "add", -1.0, None, None),
        lambda: core.Function(None, "add", float("nan"), None, None),
        lambda: core.Function(None, "add", 1.0, None, object()),
    ],
)
def test_what_the_core_cannot_use_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        make()


def test_serving_needs_to_know_how(alice: Any) -> None:
    line = alice._way.line
    for how in ((), (1, 2, 3, 4, 5, 6, 7, 8), None):
        with pytest.raises((TypeError, SystemError)):
            line.serve(how, 0.0, True)
    with pytest.raises(TypeError):
        line.serve(())


def test_a_role_is_for_one_at_a_time() -> None:
    role = core.Role()
    assert not role.locked()
    assert role.acquire(False)
    assert role.locked()
    assert not role.acquire(False)
    role.release()
    assert role.acquire(False)
