"""Which of several attempts at one idempotent call is run, and what the others get."""

from __future__ import annotations

from typing import Any

import pytest

from tincans.core.messages import Reply, Request
from tincans.pump import repeats
from tincans.pump.repeats import Repeats


def attempt(id: int, key: str = "k") -> tuple[Any, Request[Any]]:
    """A call with a key, over a link that nobody looks at."""
    return object(), Request(id, "f", (), key=key)


def answer(id: int) -> Reply[Any]:
    return Reply(id, "done")


def test_only_the_first_attempt_is_run() -> None:
    calls = Repeats()
    assert calls.begin(*attempt(1)) is True
    assert calls.begin(*attempt(3)) is None


def test_an_attempt_that_came_while_the_first_ran_gets_its_answer() -> None:
    calls = Repeats()
    calls.begin(*attempt(1))
    second = attempt(3)
    calls.begin(*second)
    assert calls.settle("k", answer) == [second]


def test_an_attempt_that_came_afterwards_gets_the_answer_that_was_written_down() -> None:
    calls = Repeats()
    calls.begin(*attempt(1))
    calls.settle("k", answer)
    assert calls.begin(*attempt(3)) is answer


def test_a_forgotten_attempt_leaves_the_others_to_be_run_anew() -> None:
    calls = Repeats()
    calls.begin(*attempt(1))
    second = attempt(3)
    calls.begin(*second)
    assert calls.forget("k") == [second]
    assert calls.begin(*attempt(5)) is True


def test_answers_are_bounded_in_count_but_what_still_runs_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_ANSWERS", 10)
    calls = Repeats()
    calls.begin(*attempt(1, "runs"))
    for number in range(100):
        calls.begin(*attempt(3, str(number)))
        calls.settle(str(number), answer)
    assert len(calls._entries) <= 12
    assert calls.begin(*attempt(5, "runs")) is None


def test_answers_are_bounded_in_age(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Repeats()
    calls.begin(*attempt(1, "old"))
    calls.settle("old", answer)
    monkeypatch.setattr(repeats, "SECONDS", -1.0)
    calls.begin(*attempt(3, "new"))
    assert calls.begin(*attempt(5, "old")) is True
