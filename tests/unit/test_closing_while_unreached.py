"""Closing a peer ends the waits of those who try to reach a server that is gone."""

from __future__ import annotations

import threading
import time

import pytest

import tincans
from tincans.errors import ClosedError, TincansError


@pytest.mark.parametrize("method", ["unix", "pipe"])
def test_closing_wakes_who_waits_for_the_server_to_come_back(method: str, name: str) -> None:
    server = tincans.serve(f"{method}:{name}")
    server.expose(len, name="size")
    bob = tincans.connect(f"{method}:{name}")
    server.close()
    raised: list[TincansError] = []

    def call() -> None:
        try:
            while True:
                bob.call.size("abc")
        except ClosedError as error:
            raised.append(error)
        except TincansError:
            call()

    callers = [threading.Thread(target=call, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + 10
    while not bob._way._making.locked() and time.monotonic() < deadline:  # type: ignore[attr-defined]
        time.sleep(0.01)
    began = time.monotonic()
    bob.close()
    for caller in callers:
        caller.join(10)
    assert len(raised) == len(callers)
    assert time.monotonic() - began < 3
