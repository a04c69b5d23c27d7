"""Topics, queues, state, flags and locks over the async face, from both ends."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy
import pytest
from aio_stage import address, alice_and_bob, everywhere, play, until

import tincans
from tincans import aio


@everywhere
def test_news_reaches_both_ends(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method) as both, both[0].subscribe("n.*") as here, both[1].subscribe("n.*") as there:
            await both[1].publish("n.a", 1)
            for notes in (here, there):
                note = await notes.receive(timeout=5)
                assert (note.topic, note.value, note.missed) == ("n.a", 1, 0)

    play(main)


def test_a_subscription_that_is_only_iterated_is_opened_by_that() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (alice, bob):

            async def first() -> Any:
                async for note in bob.subscribe("t"):
                    return note.value
                return None

            waiting = asyncio.create_task(first())
            while not waiting.done():
                await alice.publish("t", "heard")
                await asyncio.sleep(0)
            assert waiting.result() == "heard"

    play(main)


def test_an_awaited_subscription_is_open() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (alice, bob):
            notes = await bob.subscribe("t")
            await alice.publish("t", 1)
            assert (await notes.receive(timeout=5)).value == 1
            await notes.close()
            with pytest.raises(tincans.ClosedError):
                await notes.receive()

    play(main)


def test_nothing_within_the_timeout_is_an_error() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (alice, bob):
            for notes in (alice.subscribe("t"), bob.subscribe("t")):
                with pytest.raises(tincans.WaitTimeoutError):
                    await notes.receive(timeout=0.01)
                await notes.close()

    play(main)


def test_two_tasks_may_wait_on_one_subscription() -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob), bob.subscribe("t") as notes:
            both = asyncio.gather(notes.receive(timeout=5), notes.receive(timeout=5))
            await asyncio.sleep(0)
            await alice.publish("t", 1)
            await alice.publish("t", 2)
            assert sorted(note.value for note in await both) == [1, 2]

    play(main)


def test_a_cancelled_receive_loses_no_note() -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob), bob.subscribe("t") as notes:
            waiting = asyncio.create_task(notes.receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await alice.publish("t", 1)
            assert (await notes.receive(timeout=5)).value == 1

    play(main)


@pytest.mark.parametrize("end", ["alice", "bob"])
def test_followers_run_async_and_plain_functions(end: str) -> None:
    heard: list[tuple[str, Any]] = []

    async def main() -> None:
        async with alice_and_bob("memory") as both:
            who = both[0] if end == "alice" else both[1]

            @who.on("t")
            async def soon(note: tincans.Note) -> None:
                heard.append(("async", note.value))

            @who.on("t")
            def plainly(note: tincans.Note) -> None:
                heard.append(("plain", note.value))

            while len({kind for kind, _ in heard}) < 2:
                await both[0].publish("t", 1)
                await asyncio.sleep(0.001)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # closing ended the followers

    play(main)


@everywhere
def test_a_job_goes_to_one_taker_and_is_acknowledged(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method) as (alice, bob):
            jobs = bob.queue("jobs")
            await jobs.put({"n": 1})
            assert await jobs.count() == await alice.queue("jobs").count() == 1
            async with jobs.take(timeout=5) as job:
                assert (job.value, job.deliveries) == ({"n": 1}, 1)
            assert await jobs.count() == 0

    play(main)


def test_a_job_whose_block_raises_is_delivered_again() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (alice, bob):
            await alice.queue("jobs").put("x")
            with pytest.raises(RuntimeError, match="oh"):
                async with bob.queue("jobs").take(timeout=5):
                    raise RuntimeError("oh")
            job = await bob.queue("jobs").take(timeout=5)
            assert job.deliveries == 2
            await job.done()

    play(main)


def test_a_job_delivered_too_often_becomes_a_dead_letter() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            jobs = bob.queue("jobs", max_deliveries=1)
            await jobs.put("x")
            await (await jobs.take(timeout=5)).give_back()
            async with jobs.dead.take(timeout=5) as job:
                assert job.value["value"] == "x"

    play(main)


def test_a_lease_is_renewed_while_the_block_runs() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            jobs = bob.queue("jobs", lease=0.15)
            await jobs.put("x")
            async with jobs.take(timeout=5):
                with pytest.raises(tincans.WaitTimeoutError):
                    await jobs.take(timeout=0.5)

    play(main)


def test_a_job_that_is_dropped_goes_back_when_its_lease_ends() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            jobs = bob.queue("jobs", lease=0.1)
            await jobs.put("x")
            job = await jobs.take(timeout=5)
            del job
            async with jobs.take(timeout=5) as again:
                assert again.deliveries == 2

    play(main)


def test_iterating_a_queue_gives_its_jobs() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            jobs = bob.queue("jobs")
            for i in range(3):
                await jobs.put(i)
            got = []
            async for job in jobs:
                async with job:
                    got.append(job.value)
                if len(got) == 3:
                    break
            assert got == [0, 1, 2]

    play(main)


@pytest.mark.parametrize("end", ["alice", "bob"])
@pytest.mark.parametrize("timeout", [0, 0.01])
def test_an_empty_queue_gives_nothing_in_time(end: str, timeout: float) -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as both:
            who = both[0] if end == "alice" else both[1]
            with pytest.raises(tincans.WaitTimeoutError):
                await who.queue("jobs").take(timeout=timeout)
            await who.queue("jobs").put(1)
            assert (await who.queue("jobs").take(timeout=0)).value == 1

    play(main)


@pytest.mark.parametrize("end", ["alice", "bob"])
def test_a_cancelled_take_takes_no_job(end: str) -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob):
            who = alice if end == "alice" else bob
            for _ in range(50):  # the cancel crosses the grant at different moments
                taking = asyncio.create_task(_take(who))
                await asyncio.sleep(0)
                await alice.queue("jobs").put("x")
                taking.cancel()
                await asyncio.wait({taking})
                if taking.cancelled():
                    async with bob.queue("jobs").take(timeout=5) as job:
                        assert job.value == "x"
                else:
                    await taking.result().done()
            assert await bob.queue("jobs").count() == 0

    play(main)


async def _take(who: Any) -> Any:
    return await who.queue("jobs").take()


def test_a_full_queue_refuses_or_waits() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            await bob.queue("jobs").put(1)
            with pytest.raises(tincans.FullError):
                await bob.queue("jobs", max_items=1, on_full="refuse").put(2)
            with pytest.raises(tincans.WaitTimeoutError):
                await bob.queue("jobs", max_items=1).put(2, timeout=0.02)

    play(main)


@everywhere
def test_state_is_the_same_on_both_ends(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method) as (alice, bob):
            await bob.state.set("k", (1, "two"))
            assert await alice.state["k"] == await bob.state["k"] == (1, "two")
            assert await bob.state.get("none", 5) == 5
            assert [key async for key in bob.state] == await alice.state.keys() == ["k"]
            assert await bob.state.delete("k") is True
            assert await bob.state.delete("k") is False
            with pytest.raises(KeyError):
                await bob.state["k"]

    play(main)


def test_what_cannot_be_awaited_says_what_to_write_instead() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            with pytest.raises(TypeError, match=r"state\.set"):
                bob.state["k"] = 1
            with pytest.raises(TypeError, match=r"state\.delete"):
                del bob.state["k"]
            with pytest.raises(TypeError, match="keys"):
                "k" in bob.state  # noqa: B015
            with pytest.raises(TypeError, match="async for"):
                iter(bob.state)
            with pytest.raises(TypeError, match="keys"):
                len(bob.state)
            with pytest.raises(TypeError, match="count"):
                len(bob.queue("jobs"))
            assert bob.state and bob.queue("jobs")

    play(main)


@pytest.mark.parametrize("end", ["alice", "bob"])
def test_a_watcher_sees_the_present_value_first_and_then_the_changes(end: str) -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as both:
            who = both[0] if end == "alice" else both[1]
            await both[1].state.set("k", 1)
            async with who.state.watch("k") as changes:
                assert (await changes.receive(timeout=5)).value == 1
                await both[1].state.set("k", 2)
                change = await changes.receive(timeout=5)
                assert (change.key, change.value, change.deleted) == ("k", 2, False)
                await both[1].state.delete("k")
                assert (await changes.receive(timeout=5)).deleted

    play(main)


@everywhere
def test_a_flag_wakes_who_waits_for_it(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method) as (alice, bob):
            waiting = asyncio.create_task(bob.flag("go").wait(5))
            assert await alice.flag("go").wait(0.01) is False
            await alice.flag("go").set()
            assert await waiting is True
            assert await bob.flag("go").is_set() is True
            await bob.flag("go").clear()
            assert await alice.flag("go").is_set() is False

    play(main)


@everywhere
def test_a_lock_has_one_holder(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method) as (alice, bob):
            async with bob.lock("l", timeout=5) as lock:
                assert await alice.lock("l").acquire(timeout=0.01) is False
                assert await bob.lock("l").acquire(timeout=0) is False
                with pytest.raises(tincans.WaitTimeoutError):
                    await bob.lock("l", timeout=0.01).__aenter__()
                first = lock.token
            async with alice.lock("l", timeout=5) as lock:
                assert lock.token > first

    play(main)


def test_a_cancelled_wait_for_a_lock_holds_nothing() -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob):
            for _ in range(50):
                async with alice.lock("l", timeout=5):
                    waiting = asyncio.create_task(bob.lock("l").acquire())
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
                async with alice.lock("l", timeout=5):
                    pass

    play(main)


def test_a_lock_that_is_not_held_cannot_be_released() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (_, bob):
            with pytest.raises(tincans.LeaseLostError):
                await bob.lock("l").release()

    play(main)


def test_a_lock_is_free_when_its_holder_is_gone() -> None:
    async def main() -> None:
        async with aio.serve(address("unix")) as alice:
            async with aio.connect(alice.url) as bob:
                assert await bob.lock("l").acquire(timeout=5)
            async with alice.lock("l", timeout=5):
                pass

    play(main)


def test_a_shared_array_is_read_only_and_the_same() -> None:
    async def main() -> None:
        async with alice_and_bob("memory") as (alice, bob):
            for who in (alice, bob):
                shared = await who.share(numpy.arange(10))
                assert shared.tolist() == list(range(10)) and not shared.flags.writeable

    play(main)


def test_describe_names_the_functions() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    async def main() -> None:
        async with alice_and_bob("memory", add) as (alice, bob):
            here, there = await alice.describe(), await bob.describe()
            assert here == there
            assert "add" in str(here)

    play(main)


def test_a_verb_that_the_method_refuses_is_refused_at_once() -> None:
    async def main() -> None:
        with pytest.raises(tincans.AddressError, match="fly"):
            await aio.connect("memory:nobody", needs=["fly"])

    play(main)
