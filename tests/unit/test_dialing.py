"""Reaching nobody."""

from __future__ import annotations

import traceback

import pytest

import tincans


def test_that_nobody_is_there_is_told_in_one_traceback_with_what_the_last_attempt_said() -> None:
    with pytest.raises(tincans.UnreachableError) as told:
        tincans.connect("unix:nobody", timeout=0.05)
    text = "".join(traceback.format_exception(told.value))
    assert text.count("Traceback") == 1
    assert "waited 0.05 s" in text
    assert "nobody.sock" in text
