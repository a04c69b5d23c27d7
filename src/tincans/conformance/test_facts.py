"""What every method says of itself is said well."""

from __future__ import annotations

import pytest

import tincans
from tincans.errors import AddressError, UnsupportedError
from tincans.facts import VERBS, Facts, No


def test_each_refusal_has_a_reason_and_names_a_method_that_can(facts: Facts) -> None:
    for verb in VERBS:
        verdict = facts.verdict(verb)
        if isinstance(verdict, No):
            assert len(verdict.reason) > 10
            assert verdict.instead in tincans.methods() or verdict.instead in {"json", "native"}


def test_needs_that_are_refused_fail_at_connect(running: object, facts: Facts) -> None:
    url = running.url  # type: ignore[attr-defined]
    for verb in VERBS:
        if isinstance(facts.verdict(verb), No):
            with pytest.raises(UnsupportedError):
                tincans.connect(url, needs={verb})


def test_an_unknown_option_is_named_with_the_valid_ones(running: object) -> None:
    url = running.url  # type: ignore[attr-defined]
    with pytest.raises(AddressError, match="no_such_option"):
        tincans.connect(f"{url}{'&' if '?' in url else '?'}no_such_option=1")
