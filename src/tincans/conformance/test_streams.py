"""Promises of streams and callbacks: elements both ways, credit, early ends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tincans.conformance.needs import needs
from tincans.conformance.patience import eventually
from tincans.errors import RemoteError
from tincans.facts import Facts


@needs("call", two_way=True)
def test_a_generator_streams_its_elements(alice: Any, facts: Facts) -> None:
    assert list(alice.call.count(1000)) == list(range(1000))


@needs("call", two_way=True)
def test_an_async_generator_streams_too(alice: Any, facts: Facts) -> None:
    assert list(alice.call.count_async(100)) == list(range(100))


@needs("call", two_way=True)
def test_an_empty_stream_ends_at_once(alice: Any, facts: Facts) -> None:
    assert list(alice.call.count(0)) == []


@needs("call", two_way=True)
def test_an_exception_in_a_generator_comes_after_its_elements(alice: Any, facts: Facts) -> None:
    got = []
    with pytest.raises(RemoteError, match="broken on purpose"):
        for element in alice.call.break_after(3):
            got.append(element)
    assert got == [0, 1, 2]


@needs("call", two_way=True)
def test_an_endless_stream_is_held_back_and_closed_early(alice: Any, facts: Facts) -> None:
    before = alice.call.generators_closed()
    stream = alice.call.count(10**9)
    assert list(itertools.islice(stream, 5)) == [0, 1, 2, 3, 4]
    stream.close()
    eventually(lambda: alice.call.generators_closed() == before + 1)


@needs("call", two_way=True)
def test_several_streams_run_side_by_side(alice: Any, facts: Facts) -> None:
    streams = [alice.call.count(300) for _ in range(3)]
    assert [sum(group) for group in zip(*streams, strict=True)] == [3 * i for i in range(300)]


@needs("call", two_way=True, callbacks=True)
def test_a_generator_as_an_argument_is_streamed_there(peer: Any, facts: Facts) -> None:
    assert peer.call.total(i for i in range(1000)) == 499500


@needs("call", two_way=True, callbacks=True)
def test_a_function_as_an_argument_is_called_back(peer: Any, facts: Facts) -> None:
    assert peer.call.apply(lambda n: n * n, 20) == [n * n for n in range(20)]


@needs("call", two_way=True, callbacks=True)
def test_an_exception_in_a_callback_reaches_both_sides(peer: Any, facts: Facts) -> None:
    def refuse(n: int) -> int:
        raise ValueError(f"not {n}")

    with pytest.raises(RemoteError, match="not 0"):
        peer.call.apply(refuse, 3)
    assert peer.call.add(1, 1) == 2


@needs("call", two_way=True, callbacks=True)
def test_a_function_that_is_kept_can_be_called_back_later(peer: Any, facts: Facts) -> None:
    called: list[Any] = []
    peer.call.keep(called.append)
    for value in ["one", "two"]:
        peer.call.use_kept(value)
    assert called == ["one", "two"]


@needs("call", two_way=True, callbacks=True)
def test_the_connecting_program_can_expose_functions_too(peer: Any, facts: Facts) -> None:
    peer.expose(lambda n: n + 1, name="one_more")
    assert peer.call.ask_back("one_more", 1) == 2


@needs("call", two_way=True, callbacks=True)
def test_a_callback_may_call_in_turn(peer: Any, facts: Facts) -> None:
    assert peer.call.apply(lambda n: peer.call.add(n, 1), 5) == [1, 2, 3, 4, 5]
