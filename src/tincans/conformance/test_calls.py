"""Promises of call, start and notify."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

import pytest

from tincans.conformance.needs import needs
from tincans.conformance.patience import eventually
from tincans.errors import (
    ArgumentError,
    CallTimeoutError,
    ClosedError,
    NotExposedError,
    RemoteError,
    TooLargeError,
    UnsendableError,
)
from tincans.facts import Facts


@needs("call")
def test_a_call_returns_the_result(alice: Any, facts: Facts) -> None:
    assert alice.call.add(2, 5) == 7


@needs("call")
def test_a_call_by_name_is_the_same_as_by_attribute(alice: Any, facts: Facts) -> None:
    assert alice.call("add", 2, 5) == 7


@needs("call")
def test_defaults_and_keywords_work_as_in_python(alice: Any, facts: Facts) -> None:
    assert (alice.call.add(2), alice.call.add(a=1, b=2), alice.call.add(1, b=4)) == (12, 3, 5)


@needs("call")
def test_a_wrong_type_is_refused_with_the_name_of_the_parameter(alice: Any, facts: Facts) -> None:
    with pytest.raises(ArgumentError, match="parameter b"):
        alice.call.add(2, "five")


@needs("call")
def test_missing_and_extra_arguments_are_refused(alice: Any, facts: Facts) -> None:
    for args in [(), (1, 2, 3)]:
        with pytest.raises(ArgumentError, match="add"):
            alice.call.add(*args)


@needs("call")
def test_a_function_that_is_not_exposed_is_not_found(alice: Any, facts: Facts) -> None:
    for name in ["nothing", "_private", "__class__", "add.__globals__", "log.append"]:
        with pytest.raises(NotExposedError):
            alice.call(name)


@needs("call")
def test_an_exception_arrives_as_remote_error_and_as_itself(alice: Any, facts: Facts) -> None:
    with pytest.raises(ValueError, match="too bad") as caught:
        alice.call.fail("ValueError", "too bad")
    assert isinstance(caught.value, RemoteError)
    assert caught.value.type_name == "ValueError"


@needs("call")
def test_an_exception_of_an_unknown_class_is_a_remote_error(alice: Any, facts: Facts) -> None:
    with pytest.raises(RemoteError, match="mine") as caught:
        alice.call.fail("OwnError", "mine")
    assert caught.value.type_name == "OwnError"


@needs("call")
def test_a_function_that_wants_to_exit_ends_nothing_but_its_call(alice: Any, facts: Facts) -> None:
    for name, args in (("fail", ("SystemExit", "over")), ("leave", ("over",))):
        with pytest.raises(RemoteError, match="over") as caught:
            alice.call(name, *args)
        assert caught.value.type_name == "SystemExit"
        assert alice.call.add(1, 1) == 2
        assert alice.call.nap(0.0) == "awake"


@needs("call")
def test_calls_go_on_after_an_exception(alice: Any, facts: Facts) -> None:
    for _ in range(3):
        with pytest.raises(RemoteError):
            alice.call.fail("ValueError", "again")
        assert alice.call.add(1, 1) == 2


@needs("call")
def test_an_async_function_is_awaited_there(alice: Any, facts: Facts) -> None:
    assert alice.call.nap(0.01) == "awake"


@needs("call")
def test_a_call_ends_at_its_deadline(alice: Any, facts: Facts) -> None:
    began = time.monotonic()
    with pytest.raises(CallTimeoutError):
        alice.with_options(timeout=0.2).call.nap(1)
    assert 0.19 < time.monotonic() - began < 0.5


@needs("call")
def test_after_a_timeout_the_next_call_gets_its_own_answer(alice: Any, facts: Facts) -> None:
    with pytest.raises(CallTimeoutError):
        alice.with_options(timeout=0.05).call.nap(0.3)
    assert [alice.call.add(i, i) for i in range(20)] == [2 * i for i in range(20)]


@needs("call")
def test_plain_values_survive_a_trip(alice: Any, facts: Facts) -> None:
    values = [None, True, 0, -1, 2**40, 1.5, "", "text äöü \N{PEDESTRIAN}", [], [1, [2]], {}, {"a": {"b": [1]}}]
    for value in values:
        assert alice.call.echo(value) == value


@needs("call", two_way=True)
def test_a_slow_call_does_not_delay_a_fast_one_on_the_same_connection(peer: Any, facts: Facts) -> None:
    slow = peer.start.sleep(0.6)
    began = time.monotonic()
    assert peer.call.add(1, 2) == 3
    assert time.monotonic() - began < 0.3
    assert slow.result() == "awake"


@needs("call", two_way=True)
def test_a_started_call_is_answered_later(alice: Any, facts: Facts) -> None:
    futures = [alice.start.add(i, 1) for i in range(100)]
    assert [future.result(10) for future in futures] == list(range(1, 101))


@needs("call", two_way=True)
def test_a_started_call_fails_like_a_call(alice: Any, facts: Facts) -> None:
    future = alice.start.fail("ValueError", "later")
    with pytest.raises(ValueError, match="later"):
        future.result(10)


@needs("call", two_way=True)
def test_a_notification_arrives_and_has_no_answer(alice: Any, facts: Facts, name: str) -> None:
    assert alice.notify.note(name) is None
    eventually(lambda: name in alice.call.noted())


@needs("call")
def test_many_threads_share_one_peer(peer: Any, facts: Facts) -> None:
    wrong: list[Any] = []

    def work(k: int) -> None:
        for i in range(50):
            if peer.call.add(k, i) != k + i:
                wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k * 1000,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


@needs("call", two_way=True)
def test_a_message_of_one_mebibyte_arrives_whole(alice: Any, facts: Facts) -> None:
    data = bytes(range(256)) * 4096
    if facts.largest_message is None or facts.largest_message > len(data):
        assert alice.call.echo(data) == data


@needs("call", two_way=True)
def test_empty_bytes_and_other_buffers_arrive(alice: Any, facts: Facts) -> None:
    sizes = alice.call.sizes(b"", bytearray(b"abc"), memoryview(b"abcde"), named=b"1234567")
    assert sizes == [0, 3, 5, 7]


@needs("call")
def test_a_value_that_cannot_travel_is_refused_with_its_path(alice: Any, facts: Facts) -> None:
    with pytest.raises(UnsendableError, match=r"args\[0\]\['x'\]\[1\]"):
        alice.call.echo({"x": [1, object()]})
    assert alice.call.add(1, 1) == 2


@needs("call", two_way=True)
def test_a_message_over_the_limit_is_refused_and_nothing_is_lost(running: Any, facts: Facts, peer: Any) -> None:
    separator = "&" if "?" in running.url else "?"
    with running.connect_to(f"{running.url}{separator}max_message=64k") as small:
        with pytest.raises(TooLargeError):
            small.call.sizes(bytes(200_000))
        assert small.call.add(1, 1) == 2


@needs("call")
def test_closing_twice_is_fine_and_using_a_closed_peer_is_an_error(alice: Any, facts: Facts) -> None:
    assert alice.call.add(1, 1) == 2
    alice.close()
    alice.close()
    with pytest.raises(ClosedError):
        alice.call.add(1, 1)


@needs("call")
def test_closing_wakes_a_waiting_call(running: Any, peer: Any, facts: Facts, name: str) -> None:
    ended: list[Any] = []

    def wait() -> None:
        try:
            peer.call.note_and_wait(name)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with running.connect() if running.shared else contextlib.nullcontext(peer) as another:
        eventually(lambda: name in another.call.noted())
        began = time.monotonic()
        peer.close()
        thread.join(5)
        took = time.monotonic() - began
        if running.shared:
            another.call.let_go(name)  # nobody who ends this Alice is to wait for it
    assert took < 1
    assert isinstance(ended[0], ClosedError)


@needs("call")
def test_a_function_knows_who_calls(alice: Any, facts: Facts) -> None:
    who = alice.call.who()
    if facts.reach == "one machine":
        assert who["uid"] == os.getuid()
    assert set(who) == {"pid", "uid", "key_name"}


@needs("call")
def test_an_idempotent_function_is_run_once_for_each_call(alice: Any, facts: Facts) -> None:
    first = alice.call.count_up()
    assert alice.call.count_up() == first + 1


@needs("call")
def test_the_functions_are_described_with_types_and_docs(alice: Any, facts: Facts) -> None:
    assert alice.call.add(1, 1) == 2  # a program that has just begun to serve has said everything by then
    functions = {f["name"]: f for f in alice.describe()["functions"]}
    assert functions["add"]["signature"] == "add(a: int, b: int = 10) -> int"
    assert functions["add"]["summary"] == "Add two numbers."
    assert functions["count"]["streams"] is True
