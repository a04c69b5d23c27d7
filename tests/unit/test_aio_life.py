"""Life and death of the async face: start order, loss, coming back, closing, signals, files."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aio_stage import address, alice_and_bob, everywhere, play, until

import tincans
from tincans import aio
from tincans.errors import DisconnectedError


async def never() -> None:
    await asyncio.Event().wait()


async def add(a: int, b: int) -> int:
    return a + b


def cut(alice: aio.Server) -> None:
    """The string breaks: every connection of the server ends without a goodbye."""
    for link in list(alice._host.links):
        link.lost(DisconnectedError("cut by the test"))


WAITS: dict[str, Callable[[aio.Peer[Any]], Coroutine[Any, Any, Any]]] = {
    "call": lambda bob: bob.call.never(),
    "take": lambda bob: bob.queue("jobs")._take(None),
    "lock": lambda bob: bob.lock("held").acquire(),
    "flag": lambda bob: bob.flag("go").wait(),
    "subscription": lambda bob: bob.subscribe("t").receive(),
    "watch": lambda bob: bob.state.watch("k").receive(),
}


@everywhere
@pytest.mark.parametrize("wait", WAITS)
def test_the_death_of_the_string_wakes_every_waiter_at_once(method: str, wait: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, never) as (alice, bob), alice.lock("held"):
            waiting = [asyncio.create_task(WAITS[wait](bob)) for _ in range(3)]
            await bob.describe()  # what was asked before has arrived over there when this is answered
            await bob.describe()
            began = time.monotonic()
            cut(alice)
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(outcome, tincans.DisconnectedError)
            assert time.monotonic() - began < 2

    play(main)


@pytest.mark.parametrize("wait", WAITS)
def test_closing_the_peer_wakes_every_waiter(wait: str) -> None:
    async def main() -> None:
        async with alice_and_bob("unix", never) as (alice, bob), alice.lock("held"):
            waiting = asyncio.create_task(WAITS[wait](bob))
            await bob.describe()
            await bob.close()
            with pytest.raises(tincans.ClosedError):
                await waiting

    play(main)


def test_a_lost_call_says_that_its_outcome_is_unknown() -> None:
    async def main() -> None:
        async with alice_and_bob("unix", never) as (alice, bob):
            future = bob.start.never()
            await bob.describe()
            cut(alice)
            with pytest.raises(tincans.DisconnectedError) as caught:
                await future
            assert caught.value.outcome == "unknown"

    play(main)


@everywhere
def test_the_next_call_after_a_loss_makes_a_new_connection(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, add) as (alice, bob):
            assert await bob.call.add(2, 5) == 7
            cut(alice)
            await until(lambda: bob._way.live() is None)
            assert await bob.call.add(2, 5) == 7

    play(main)


@pytest.mark.parametrize("method", ["unix", "pipe"])
def test_a_call_that_never_left_is_made_again(method: str) -> None:
    async def main() -> None:
        async with alice_and_bob(method, add) as (alice, bob):
            assert await bob.call.add(2, 5) == 7
            cut(alice)  # bob's loop had no turn to notice
            assert await bob.call.add(2, 5) == 7

    play(main)


def test_a_subscription_goes_on_after_a_loss_and_marks_the_gap() -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob), bob.subscribe("t") as notes:
            cut(alice)
            with pytest.raises(tincans.DisconnectedError):
                await notes.receive()
            again = asyncio.create_task(notes.receive())
            while not again.done():
                await alice.publish("t", "back")
                await asyncio.sleep(0)
            assert again.result().missed is None

    play(main)


def test_an_idempotent_call_is_asked_again_after_a_loss_and_not_run_again() -> None:
    async def main() -> None:
        async with aio.serve(address("unix")) as alice:
            runs: list[int] = []

            @alice.expose(idempotent=True)
            def once() -> int:
                runs.append(1)
                cut(alice)
                return len(runs)

            async with aio.connect(alice.url) as bob:
                assert await bob.call.once() == 1
            assert runs == [1]

    play(main)


def test_a_peer_that_exposes_functions_comes_back_by_itself() -> None:
    async def main() -> None:
        async with alice_and_bob("unix") as (alice, bob):

            @bob.expose
            async def ping() -> str:
                return "pong"

            cut(alice)
            await until(lambda: len(alice._host.links) == 1)

    play(main)


def test_bob_may_start_first() -> None:
    async def main() -> None:
        url = address("unix")
        connecting = asyncio.ensure_future(_connected(url))
        await asyncio.sleep(0)
        async with aio.serve(url) as alice:
            alice.expose(add)
            bob = await connecting
            assert await bob.call.add(2, 5) == 7
            await bob.close()

    play(main)


async def _connected(url: str) -> aio.Peer[Any]:
    return await aio.connect(url)


def test_nobody_there_is_said_at_the_timeout() -> None:
    async def main() -> None:
        began = time.monotonic()
        with pytest.raises(tincans.UnreachableError, match="Nobody serves"):
            await aio.connect(address("unix"), timeout=0.1)
        assert time.monotonic() - began < 2

    play(main)


def test_a_cancelled_connect_leaves_no_connection() -> None:
    async def main() -> None:
        async with aio.serve(address("memory")) as alice:
            connecting = asyncio.create_task(_connected(alice.url))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait({connecting})
            await until(lambda: not alice._host.links and not alice._host.strangers)

    play(main)


def test_a_peer_belongs_to_its_loop() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", add) as (_, bob):

            def elsewhere() -> None:
                with pytest.raises(tincans.UnsupportedError, match="another event loop"):
                    asyncio.run(bob.call.add(2, 5))

            await asyncio.to_thread(elsewhere)

    play(main)


def test_a_closed_peer_says_so() -> None:
    async def main() -> None:
        async with alice_and_bob("memory", add) as (_, bob):
            await bob.close()
            await bob.close()
            with pytest.raises(tincans.ClosedError):
                await bob.call.add(2, 5)

    play(main)


def test_closing_the_server_lets_running_functions_finish() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow() -> str:
            await release.wait()
            return "done"

        async with alice_and_bob("unix", slow) as (alice, bob):
            future = bob.start.slow()
            await until(lambda: alice._host.executor.jobs == 1)
            closing = asyncio.create_task(alice.close())
            await until(alice._host.closed.is_set)
            release.set()
            await closing
            assert await future == "done"

    play(main)


def test_the_drain_is_bounded() -> None:
    async def main() -> None:
        async with alice_and_bob("unix", never) as (alice, bob):
            future = bob.start.never()
            await until(lambda: alice._host.executor.jobs == 1)
            await alice.close(drain=0.01)
            with pytest.raises((tincans.DisconnectedError, tincans.CallCancelledError)):
                await future

    play(main)


def test_a_name_in_use_is_refused_and_what_was_opened_is_closed() -> None:
    async def main() -> None:
        taken, other = address("memory"), address("memory")
        async with aio.serve(taken):
            with pytest.raises(tincans.NameInUseError):
                await aio.serve(other, taken)
            async with aio.serve(other):
                pass

    play(main)


def test_serving_nothing_is_an_error() -> None:
    async def main() -> None:
        with pytest.raises(tincans.AddressError):
            await aio.serve()

    play(main)


def test_one_server_listens_on_several_urls() -> None:
    async def main() -> None:
        async with aio.serve(address("memory"), address("unix"), address("pipe")) as alice:
            alice.expose(add)
            for url in alice.urls:
                async with aio.connect(url) as bob:
                    assert await bob.call.add(2, 5) == 7

    play(main)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_with_a_signal_and_gives_the_signal_back(number: signal.Signals) -> None:
    async def main() -> None:
        before = signal.getsignal(number)
        alice = await aio.serve(address("unix"))
        running = asyncio.create_task(alice.run())
        await until(lambda: signal.getsignal(number) is not before)
        os.kill(os.getpid(), number)
        await running
        assert signal.getsignal(number) is before
        with pytest.raises(tincans.UnreachableError):
            await aio.connect(alice.url, timeout=0.05)

    play(main)


def test_run_ends_when_the_server_is_closed() -> None:
    async def main() -> None:
        async with aio.serve(address("memory")) as alice:
            running = asyncio.create_task(alice.run())
            await asyncio.sleep(0)
            await alice.close()
            await running

    play(main)


def test_queues_and_state_in_a_file_survive_the_server(tmp_path: Path) -> None:
    async def main() -> None:
        url = address("unix")
        for round in range(3):
            async with aio.serve(url, keep=tmp_path / "kept.db") as alice, aio.connect(alice.url) as bob:
                assert await bob.state.get("round", 0) == round
                await alice.state.set("round", round + 1)
                await asyncio.gather(*[bob.queue("jobs").put(i) for i in range(20)])
                assert await bob.queue("jobs").count() == 20 * (round + 1)
                with pytest.raises(tincans.WaitTimeoutError):
                    await alice.queue("none").take(timeout=0)
                await (await alice.queue("jobs").take(timeout=0)).give_back()
                async with bob.subscribe("t") as notes, bob.lock("l", timeout=5):
                    for i in range(200):
                        await alice.publish("t", i)
                    assert [(await notes.receive(timeout=5)).value for _ in range(200)] == list(range(200))

    play(main)


def test_a_server_cut_in_the_middle_of_a_call_goes_on_with_others() -> None:
    async def main() -> None:
        async with alice_and_bob("unix", never, add) as (alice, bob):
            future = bob.start.never()
            await bob.describe()
            await bob.close()
            with pytest.raises(tincans.ClosedError):
                await future
            await until(lambda: alice._host.executor.jobs == 0)
            async with aio.connect(alice.url) as carol:
                assert await carol.call.add(2, 5) == 7

    play(main)
