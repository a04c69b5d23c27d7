"""Exit codes: what a shell script may rely on.

Rules of this file
- Every error of the library has a code chosen on purpose; a new error makes this file red until it has one.
"""

from __future__ import annotations

import pytest

from tincans import errors
from tincans.cli.exits import MEANINGS, Exit, code_for

CHOSEN = {
    "error": 1,
    "remote": 1,
    "call_cancelled": 1,
    "result": 1,
    "full": 1,
    "lease_lost": 1,
    "keep": 1,
    "address": 2,
    "not_exposed": 2,
    "argument": 2,
    "unsendable": 2,
    "too_large": 2,
    "unreachable": 3,
    "name_in_use": 3,
    "disconnected": 3,
    "protocol": 3,
    "version": 3,
    "denied": 3,
    "closed": 3,
    "call_timeout": 4,
    "wait_timeout": 4,
    "unsupported": 5,
    "missing_library": 5,
}


def every_error() -> list[type[errors.TincansError]]:
    found = [errors.TincansError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in dict.fromkeys(found) if each.__module__ == errors.__name__]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_error_has_the_exit_code_that_was_chosen_for_it(error: type[errors.TincansError]) -> None:
    assert code_for(error("why")) == CHOSEN[error.code]


def test_a_failure_over_there_is_not_taken_for_one_of_our_own() -> None:
    both = type("RemoteAddressError", (errors.RemoteError, errors.AddressError), {})
    assert code_for(both("why")) == Exit.FAILED


def test_the_promised_numbers() -> None:
    assert [int(code) for code in MEANINGS] == [0, 1, 2, 3, 4, 5, 130, 141]
