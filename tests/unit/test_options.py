"""`with_options`: what is not said stays as it was."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import tincans
from tincans import aio

SOON = 0.1


def test_a_deadline_of_the_peer_stays_when_other_options_are_given() -> None:
    let_go = threading.Event()
    with tincans.serve("memory:slow") as alice, tincans.connect("memory:slow", call_timeout=SOON) as bob:
        alice.expose(let_go.wait, name="wait")
        began = time.monotonic()
        with pytest.raises(tincans.CallTimeoutError):
            bob.with_options(idempotent=True).call.wait()
        assert time.monotonic() - began < 10
        let_go.set()


def test_the_async_face_does_the_same() -> None:
    async def run(let_go: threading.Event) -> None:
        with tincans.serve("memory:slow") as alice:
            alice.expose(let_go.wait, name="wait")
            async with aio.connect("memory:slow", call_timeout=SOON) as bob:
                with pytest.raises(tincans.CallTimeoutError):
                    await asyncio.wait_for(bob.with_options(idempotent=True).call.wait(), 10)
            let_go.set()

    asyncio.run(run(threading.Event()))
