"""What tasks wait on: answers, started calls, elements, and results that are awaited or entered."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import Any

import pytest
from aio_stage import play, until

from tincans.aio.background import LoopBackground, Strand, in_thread
from tincans.aio.waiting import Answer, CallFuture, ElementWaiter, Opening, within


def answer() -> Answer:
    return Answer(asyncio.get_running_loop(), "test")


async def waiting_for(it: Answer) -> Any:
    return await it


def deliver_from_a_callback(it: Answer, message: Any) -> None:
    asyncio.get_running_loop().call_soon(it.deliver, message)


def test_an_answer_that_is_there_already_is_not_waited_for() -> None:
    async def main() -> None:
        it = answer()
        it.deliver("now")
        assert await it == "now"

    play(main)


def test_a_delivered_answer_lets_its_task_go_on_inside_the_callback() -> None:
    async def main() -> None:
        it, order = answer(), []

        async def wait() -> None:
            order.append(await it)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)

        def callback() -> None:
            it.deliver("answer")
            order.append("after")

        asyncio.get_running_loop().call_soon(callback)
        await task
        assert order == ["answer", "after"]

    play(main)


def test_a_failed_answer_raises_in_its_task_but_not_inside_the_callback() -> None:
    async def main() -> None:
        it = answer()
        task = asyncio.create_task(waiting_for(it))
        await asyncio.sleep(0)
        it.fail(ValueError("no"))
        assert not task.done()
        with pytest.raises(ValueError, match="no"):
            await task

    play(main)


def test_only_the_first_outcome_counts() -> None:
    async def main() -> None:
        it = answer()
        it.deliver(1)
        it.deliver(2)
        it.fail(ValueError("late"))
        assert it.cancel() is False
        assert await it == 1

    play(main)


def test_cancelling_the_task_that_waits_ends_the_wait() -> None:
    async def main() -> None:
        it = answer()
        task = asyncio.create_task(waiting_for(it))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        it.deliver("too late")

    play(main)


def test_a_task_cancelled_before_it_waits_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(waiting_for(answer()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main)


def test_an_answer_that_fails_and_is_forgotten_makes_no_complaint() -> None:
    async def main() -> None:
        answer().fail(ValueError("nobody asks"))
        gc.collect()

    play(main)


def test_each_task_goes_on_in_its_own_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    async def main() -> None:
        it = answer()

        async def wait() -> str:
            name.set("mine")
            await it
            return name.get()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        deliver_from_a_callback(it, 1)
        assert await task == "mine"
        assert name.get() == ""

    play(main)


def test_a_call_future_reads_its_answer_and_tells_of_its_cancelling() -> None:
    async def main() -> None:
        events: list[str] = []
        for end in ("deliver", "cancel"):
            future = CallFuture(loop=asyncio.get_running_loop())
            future.reads = lambda message: message * 2
            future.on_cancel = lambda: events.append("told")
            if end == "deliver":
                future.deliver(21)
                assert await future == 42
            else:
                assert future.cancel() and not future.cancel()
        assert events == ["told"]

    play(main)


def test_a_call_future_whose_answer_cannot_be_read_fails() -> None:
    async def main() -> None:
        future = CallFuture(loop=asyncio.get_running_loop())
        future.reads = lambda message: 1 // message
        future.deliver(0)
        with pytest.raises(ZeroDivisionError):
            await future

    play(main)


def test_an_element_wakes_every_task_and_the_thread() -> None:
    async def main() -> None:
        loop, waiter = asyncio.get_running_loop(), ElementWaiter()
        waiter.prepare_to_sleep()
        tasks = [asyncio.create_task(waiter.woken(loop, 5)) for _ in range(3)]
        sleeping = asyncio.create_task(asyncio.to_thread(waiter.sleep, 10))
        await asyncio.sleep(0)
        waiter.wake()
        assert await asyncio.gather(*tasks) == [True] * 3
        await sleeping
        assert waiter.settled and waiter.futures == []

    play(main)


def test_a_wait_ends_at_its_timeout() -> None:
    async def main() -> None:
        waiter = ElementWaiter()
        assert await waiter.woken(asyncio.get_running_loop(), 0.01) is False
        assert waiter.futures == []
        assert await within(asyncio.get_running_loop().create_future(), 0) is False

    play(main)


def test_an_opening_is_awaited_or_entered() -> None:
    class Thing:
        inside = False

        async def __aenter__(self) -> Thing:
            self.inside = True
            return self

        async def __aexit__(self, *exc: object) -> None:
            self.inside = False

    async def make() -> Thing:
        return Thing()

    async def main() -> None:
        assert isinstance(await Opening(make), Thing)
        async with Opening(make) as thing:
            assert thing.inside
        assert not thing.inside

    play(main)


def test_an_opening_that_nobody_awaits_makes_no_complaint() -> None:
    async def make() -> None: ...

    async def main() -> None:
        Opening(make)
        gc.collect()

    play(main)


@pytest.mark.parametrize("long", [True, False])
def test_a_threads_result_or_error_comes_back(long: bool) -> None:
    async def main() -> None:
        assert await in_thread(threading.current_thread, long=long) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0, long=long)

    play(main)


def test_what_a_cancelled_task_would_have_got_is_discarded() -> None:
    async def main() -> None:
        release, discarded = threading.Event(), []

        def work() -> str:
            release.wait(10)
            return "made"

        task = asyncio.create_task(in_thread(work, discard=discarded.append))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        release.set()
        await until(lambda: discarded == ["made"])

    play(main)


def test_a_strand_keeps_the_order_and_outlives_an_error() -> None:
    async def main() -> None:
        strand, done = Strand(asyncio.get_running_loop()), []
        for i in range(100):
            strand.submit(lambda i=i: done.append(i))  # type: ignore[misc]
        await until(lambda: len(done) == 100)
        assert done == list(range(100))
        strand.submit(lambda: done.append(100))
        await until(lambda: len(done) == 101)

    play(main)


def test_a_timer_of_the_loop_may_be_set_and_cancelled_by_a_thread() -> None:
    async def main() -> None:
        background, rung = LoopBackground(asyncio.get_running_loop()), []
        await in_thread(lambda: background.call_at(0.0, lambda: rung.append("rung")))
        silent = await in_thread(lambda: background.call_at(1e12, lambda: rung.append("never")))
        await in_thread(silent.cancel)
        await until(lambda: rung == ["rung"])

    play(main)
