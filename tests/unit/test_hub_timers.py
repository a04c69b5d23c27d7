"""Timers of the hub: the right things at the right time, in little memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tincans.core.hub.timers import Timers

MOVES = st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20)), max_size=60)


@given(MOVES, st.integers(0, 20))
def test_exactly_what_is_due_comes_out_first_ones_first(moves: list[tuple[str, int | None]], now: int) -> None:
    timers, model = Timers[str](), dict[str, float]()
    for item, when in moves:
        if when is None:
            assert timers.cancel(item) == model.pop(item, None)
        else:
            timers.set(item, when)
            model[item] = when
    assert timers.next() == min(model.values(), default=None)
    due = timers.due(now)
    assert sorted(due) == sorted(item for item, when in model.items() if when <= now)
    assert [model[item] for item in due] == sorted(model[item] for item in due)
    assert timers.next() == min((when for when in model.values() if when > now), default=None)


def test_cancelled_deadlines_do_not_pile_up() -> None:
    timers = Timers[int]()
    for item in range(10_000):
        timers.set(item, 1000.0 + item)
        timers.cancel(item)
    assert len(timers._heap) < 100


def test_putting_off_again_and_again_does_not_pile_up() -> None:
    timers = Timers[str]()
    for when in range(10_000):
        timers.set("lease", float(when))
    assert len(timers._heap) == 1
    assert timers.due(9998.0) == []
    assert timers.due(9999.0) == ["lease"]
