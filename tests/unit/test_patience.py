"""Timeouts of any size and kind: bounded, or refused with a word that helps, on every verb."""

from __future__ import annotations

import math

import pytest

import tincans
from tincans.core.patience import LONGEST_WAIT, patience
from tincans.errors import ArgumentError

ENDLESS = [math.inf, 1e300, 1e12]


@pytest.mark.parametrize("timeout", ENDLESS)
def test_an_endless_timeout_is_a_long_one(timeout: float) -> None:
    assert patience(timeout) == LONGEST_WAIT


@pytest.mark.parametrize("timeout", [math.nan, "5", True, [1]])
def test_what_is_no_number_of_seconds_is_refused(timeout: float) -> None:
    with pytest.raises(ArgumentError, match="number of seconds"):
        patience(timeout)


@pytest.mark.parametrize("timeout", ENDLESS)
@pytest.mark.parametrize("method", ["unix", "pipe"])
def test_who_waits_without_end_gets_what_is_there(method: str, timeout: float, name: str) -> None:
    with tincans.serve(f"{method}:{name}") as alice:

        @alice.expose
        async def add(a: int, b: int) -> int:
            return a + b

        with tincans.connect(f"{method}:{name}", timeout=timeout, call_timeout=timeout) as bob:
            assert bob.call.add(2, 5) == 7
            assert bob.with_options(timeout=timeout).call.add(2, 5) == 7
            assert bob.start.add(2, 5).result(timeout) == 7
            bob.queue("jobs").put(1, timeout=timeout)
            bob.queue("jobs").take(timeout=timeout).done()
            bob.flag("up").set()
            assert bob.flag("up").wait(timeout)
            with bob.lock("one", timeout=timeout):
                pass
