"""Calls over the async face: answers, errors, deadlines, cancelling, streams and callbacks, on several methods."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import numpy
import pytest
from aio_stage import address, alice_and_bob, everywhere, play, until

import tincans
from tincans import aio
from tincans.aio.link import LOOKS_IN_A_ROW


async def add(a: int, b: int) -> int:
    return a + b


def plus(a: int, b: int) -> int:
    return a + b


async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


def count_plainly(n: int) -> Iterator[int]:
    yield from range(n)


async def fail(text: str) -> None:
    raise ValueError(text)


@everywhere
def test_an_async_function_answers(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, add) as (_, bob):
            assert await bob.call.add(2, 5) == 7
            assert await bob.call("add", 2, b=5) == 7

    play(main)


@everywhere
def test_a_plain_function_answers_from_a_thread(method: str) -> None:
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    async def main() -> None:
        async with alice_and_bob(method, plus, where) as (_, bob):
            assert await bob.call.plus(2, 5) == 7
            assert await bob.call.where() is False

    play(main)


def test_a_sync_client_and_an_async_server_understand_each_other() -> None:
    async def main() -> None:
        async with aio.serve(address("unix")) as alice:
            alice.expose(add)
            alice.expose(count)

            def client() -> tuple[int, list[int]]:
                with tincans.connect(alice.url) as bob:
                    return bob.call.add(2, 5), list(bob.call.count(100))

            assert await asyncio.to_thread(client) == (7, list(range(100)))

    play(main)


def test_an_async_client_and_a_sync_server_understand_each_other() -> None:
    async def main(url: str) -> None:
        async with aio.connect(url) as bob:
            assert await bob.call.plus(2, 5) == 7
            assert [n async for n in await bob.call.count_plainly(200)] == list(range(200))

    with tincans.serve(address("unix")) as alice:
        alice.expose(plus)
        alice.expose(count_plainly)
        play(lambda: main(alice.url))


def test_awaiting_connect_gives_the_same_peer_as_entering_it() -> None:
    async def main() -> None:
        alice = await aio.serve(address("memory"))
        alice.expose(add)
        bob = await aio.connect(alice.url)
        assert await bob.call.add(2, 5) == 7
        await bob.close()
        await alice.close()

    play(main)


def test_a_contract_gives_the_result_its_type() -> None:
    class Calculator(Protocol):
        async def pair(self) -> tuple[int, int]: ...

    async def pair() -> Any:
        return [2, 5]

    async def main() -> None:
        async with aio.serve(address("memory")) as alice:
            alice.expose(pair)
            async with aio.connect(alice.url, Calculator) as bob:
                assert await bob.call.pair() == (2, 5)

    play(main)


@everywhere
def test_a_thousand_calls_at_once_are_all_answered(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, add) as (_, bob):
            assert await asyncio.gather(*[bob.call.add(i, i) for i in range(1000)]) == [2 * i for i in range(1000)]

    play(main)


def test_a_started_call_is_a_future() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", add) as (_, bob):
            future = bob.start.add(2, 5)
            assert asyncio.isfuture(future)
            assert await future == 7

    play(main)


def test_a_started_call_whose_error_nobody_asks_for_is_not_reported() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", fail) as (_, bob):
            bob.start.fail("never asked for")
            await bob.describe()

    play(main)


def test_a_notify_runs_without_an_answer() -> None:
    heard: list[str] = []

    async def hear(text: str) -> None:
        heard.append(text)

    async def main() -> None:
        async with alice_and_bob("memory", hear) as (_, bob):
            assert await bob.notify.hear("hello") is None
            await until(lambda: heard == ["hello"])

    play(main)


def test_an_error_of_the_function_arrives_as_itself() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", fail) as (_, bob):
            with pytest.raises(ValueError, match="too bad") as caught:
                await bob.call.fail("too bad")
            assert isinstance(caught.value, tincans.RemoteError)
            assert caught.value.url == bob.url

    play(main)


def test_an_unknown_function_is_said_to_be_unknown() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", add) as (_, bob):
            with pytest.raises(tincans.NotExposedError, match="add"):
                await bob.call.ad(2, 5)

    play(main)


def test_a_result_that_cannot_be_sent_is_an_error_and_not_silence() -> None:
    async def odd() -> Any:
        return object()

    async def main() -> None:
        async with alice_and_bob("memory", odd) as (_, bob):
            with pytest.raises(tincans.UnsendableError):
                await bob.call.odd()

    play(main)


def test_arguments_that_cannot_be_sent_are_refused_here() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", add) as (_, bob):
            with pytest.raises(tincans.UnsendableError):
                await bob.call.add(object(), 5)
            assert await bob.call.add(2, 5) == 7

    play(main)


@everywhere
def test_a_deadline_is_kept_to_twenty_milliseconds(method: str) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with alice_and_bob(method, never) as (_, bob):
            late = []
            for _ in range(5):  # the machine may be busy once, not five times
                began = time.monotonic()
                with pytest.raises(tincans.CallTimeoutError):
                    await bob.with_options(timeout=0.1).call.never()
                late.append(time.monotonic() - began - 0.1)
            assert 0 <= min(late) < 0.02

    play(main)


def test_a_call_that_times_out_is_cancelled_over_there() -> None:
    ended: list[str] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        async with alice_and_bob("memory", never) as (_, bob):
            with pytest.raises(tincans.CallTimeoutError):
                await bob.with_options(timeout=0.02).call.never()
            await until(lambda: ended == ["cancelled"])

    play(main)


@pytest.mark.parametrize("how", ["call", "start"])
def test_cancelling_the_waiting_task_cancels_the_function(how: str) -> None:
    events: list[str] = []

    async def never() -> None:
        events.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def main() -> None:
        async with alice_and_bob("unix", never) as (_, bob):
            waiting = asyncio.ensure_future(getattr(bob, how).never())
            await until(lambda: events == ["began"])
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: events == ["began", "cancelled"])

    play(main)


def test_a_slow_function_delays_no_other() -> None:
    release = threading.Event()

    def slow() -> str:
        release.wait(10)
        return "slow"

    async def main() -> None:
        async with alice_and_bob("unix", slow, plus, add) as (_, bob):
            slowly = bob.start.slow()
            assert await bob.call.plus(2, 5) == await bob.call.add(2, 5) == 7
            assert not slowly.done()
            release.set()
            assert await slowly == "slow"

    play(main)


@pytest.mark.parametrize("method", ["unix", "local"])
def test_a_task_that_calls_and_calls_lets_others_have_their_turn(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, plus) as (_, bob):
            turns = 0

            async def take_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            others = asyncio.create_task(take_turns())
            for _ in range(200):
                await bob.call.plus(2, 5)
            assert turns >= 200 // LOOKS_IN_A_ROW
            others.cancel()

    play(main)


def test_the_context_of_a_task_stays_its_own() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

    async def main() -> None:
        async with alice_and_bob("unix", add) as (_, bob):

            async def one(text: str) -> str:
                name.set(text)
                await bob.call.add(2, 5)
                return name.get()

            assert await asyncio.gather(one("a"), one("b")) == ["a", "b"]
            assert name.get("none") == "none"

    play(main)


def test_a_task_that_was_just_answered_may_use_timeouts_and_groups() -> None:
    async def main() -> None:
        async with alice_and_bob("unix", add) as (_, bob):
            await bob.call.add(2, 5)
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                tasks = [group.create_task(bob.call.add(i, 1)) for i in range(3)]
            assert [task.result() for task in tasks] == [1, 2, 3]
            assert await asyncio.wait_for(bob.call.add(2, 5), 5) == 7

    play(main)


def test_the_caller_is_known_on_the_loop_and_on_threads() -> None:
    async def pid_on_the_loop() -> int | None:
        return tincans.caller().pid

    def pid_on_a_thread() -> int | None:
        return tincans.caller().pid

    async def pid_in_a_stream() -> AsyncIterator[int | None]:
        yield tincans.caller().pid

    async def main() -> None:
        async with alice_and_bob("unix", pid_on_the_loop, pid_on_a_thread, pid_in_a_stream) as (_, bob):
            pids = {await bob.call.pid_on_the_loop(), await bob.call.pid_on_a_thread()}
            pids.update([pid async for pid in await bob.call.pid_in_a_stream()])
            assert len(pids) == 1 and None not in pids

    play(main)


@everywhere
@pytest.mark.parametrize("function", [count, count_plainly])
def test_a_generator_streams_more_than_its_window(method: str, function: Callable[[int], Any]) -> None:
    async def main() -> None:
        async with alice_and_bob(method, function) as (_, bob):
            assert [n async for n in await bob.call(function.__name__, 500)] == list(range(500))

    play(main)


@pytest.mark.parametrize("how", ["closed", "dropped", "left"])
def test_a_stream_that_is_given_up_closes_the_generator(how: str) -> None:
    events: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            events.append("closed")

    async def main() -> None:
        async with alice_and_bob("unix", endless) as (_, bob):
            stream = await bob.call.endless()
            async for _ in stream:
                break
            if how == "closed":
                await stream.close()
            elif how == "left":
                async with stream:
                    pass
            del stream
            await until(lambda: events == ["closed"])

    play(main)


def test_an_error_in_a_generator_ends_the_stream_with_it() -> None:
    async def two_and_out() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise KeyError("no three")

    async def main() -> None:
        async with alice_and_bob("memory", two_and_out) as (_, bob):
            got = []
            with pytest.raises(KeyError):
                async for n in await bob.call.two_and_out():
                    got.append(n)
            assert got == [1, 2]

    play(main)


async def total(numbers: Any) -> int:
    return sum([n async for n in numbers])


def total_plainly(numbers: Any) -> int:
    return sum(numbers)


@everywhere
@pytest.mark.parametrize("function", [total, total_plainly])
def test_generators_travel_as_arguments(method: str, function: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with alice_and_bob(method, function) as (_, bob):
            assert await bob.call(function.__name__, count(300)) == sum(range(300))
            assert await bob.call(function.__name__, count_plainly(300)) == sum(range(300))

    play(main)


async def each(function: Callable[[int], Any], n: int) -> list[Any]:
    return [await function(i) for i in range(n)]


def each_plainly(function: Callable[[int], Any], n: int) -> list[Any]:
    return [function(i) for i in range(n)]


@everywhere
@pytest.mark.parametrize("function", [each, each_plainly])
def test_functions_are_called_back(method: str, function: Callable[..., Any]) -> None:
    async def double(n: int) -> int:
        return 2 * n

    def thrice(n: int) -> int:
        return 3 * n

    async def main() -> None:
        async with alice_and_bob(method, function) as (_, bob):
            assert await bob.call(function.__name__, double, 3) == [0, 2, 4]
            assert await bob.call(function.__name__, thrice, 3) == [0, 3, 6]

    play(main)


@everywhere
def test_a_large_array_comes_back_whole(method: str) -> None:
    array = numpy.arange(400_000)

    async def echo(array: Any) -> Any:
        return array

    async def main() -> None:
        async with alice_and_bob(method, echo) as (_, bob):
            back = await asyncio.gather(*[bob.call.echo(array) for _ in range(3)])
            assert all((each == array).all() for each in back)

    play(main)
