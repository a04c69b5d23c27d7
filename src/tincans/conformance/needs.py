"""Which tests a method's facts call for: a claimed verb is tested, a refused one must refuse with its reason.

Rules of this file
- Nothing is skipped: where a verb is refused, the test of the verb becomes the test of its refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from tincans.errors import UnsupportedError
from tincans.facts import Facts, No, Verb


def needs(
    verb: Verb, *, two_way: bool = False, callbacks: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test where the facts claim `verb`; where they refuse it, prove that it is refused with that reason."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def proven(**fixtures: Any) -> None:
            facts: Facts = fixtures["facts"]
            peer = fixtures.get("alice") or fixtures["peer"]
            verdict = facts.verdict(verb)
            if isinstance(verdict, No):
                prove_refusal(peer, verb, verdict)
            elif (two_way and not facts.two_way) or (callbacks and not facts.callbacks):
                return
            else:
                test(**fixtures)

        return proven

    return decorate


def prove_refusal(peer: Any, verb: Verb, no: No) -> None:
    """The verb is refused with its reason and a method that can."""
    use: dict[str, Callable[[], Any]] = {
        "call": lambda: peer.call.add(2, 5),
        "publish": lambda: peer.publish("topic", 1),
        "queue": lambda: peer.queue("jobs").put(1),
        "state": lambda: peer.state.get("key"),
        "flag": lambda: peer.flag("flag").set(),
        "lock": lambda: peer.lock("lock", timeout=1).acquire(),
        "share": lambda: peer.share(bytearray(10)),
    }
    with pytest.raises(UnsupportedError) as caught:
        use[verb]()
    assert no.reason in str(caught.value)
    assert no.instead in str(caught.value)
