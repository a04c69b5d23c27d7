"""What a method or wire can do, said once, and the verdict on each verb.

Rules of this file
- Each transport and each wire has one `Facts` literal at the top of its file; nothing else states abilities.
- A verb is NATIVE (the method's own), HUB (kept inside the serving program, see core/hub/) or a `No`
  with its reason and a method that can.
- The docs table, `tincans which`, `connect(url, needs=...)` and the conformance suite read these, and the
  suite proves them both ways.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tincans.errors import UnsupportedError

Verb = Literal["call", "publish", "queue", "state", "flag", "lock", "share"]
VERBS: tuple[Verb, ...] = ("call", "publish", "queue", "state", "flag", "lock", "share")


class Yes(Struct, frozen=True):
    """The verb works: by the method's own means ("native") or through the hub in the serving program."""

    by: Literal["native", "hub"]
    note: str = ""


class No(Struct, frozen=True):
    """The verb does not work here: why, and the URL scheme of a method that can."""

    reason: str
    instead: str


NATIVE = Yes("native")
HUB = Yes("hub")
Verdict = Yes | No


class Facts(Struct, frozen=True):
    """The abilities and promises of one transport or wire.

    `largest_message` is in bytes, None when only the `max_message` option bounds it. `two_way` says that a
    connection carries more than one call and one answer at a time (so streams, started calls and notifications work),
    `callbacks` that the server can call functions of the caller's. `stored`: messages wait in a
    store, so that the two programs need not run at the same time: nobody greets, and a call may be left for later.
    `one_memory`: an array can be the same memory in both programs.
    `extra` is the name in `pip install tincans[extra]`, or "" when nothing more is needed.
    """

    summary: str
    call: Verdict = NATIVE
    publish: Verdict = HUB
    queue: Verdict = HUB
    state: Verdict = HUB
    flag: Verdict = HUB
    lock: Verdict = HUB
    share: Verdict = NATIVE
    order: str = "per sender"
    delivery: str = "a call is answered, fails, or its outcome is reported unknown"
    survives: str = "nothing outlives the serving program, unless it keeps a file"
    reach: Literal["one program", "one machine", "network"] = "one machine"
    platforms: tuple[str, ...] = ("linux",)
    untested: tuple[str, ...] = ("macos", "windows")
    leaves_behind: str = "nothing"
    service: str = ""
    extra: str = ""
    library: str = ""
    largest_message: int | None = None
    two_way: bool = True
    callbacks: bool = True
    stored: bool = False
    one_memory: bool = False

    def verdict(self, verb: Verb) -> Verdict:
        """The verdict on one verb.

        >>> Facts("example", lock=No("it has no state", "unix")).verdict("lock")
        No(reason='it has no state', instead='unix')
        """
        verdict: Verdict = getattr(self, verb)
        return verdict

    def missing(self, needs: frozenset[str]) -> dict[Verb, No]:
        """Those of `needs` (names of verbs) that are refused, each with its reason."""
        return {v: r for v in VERBS if v in needs and isinstance(r := self.verdict(v), No)}


def refused(no: No, verb: Verb, url: str, operation: str = "") -> UnsupportedError:
    """The error of a verb that the method at `url` refuses."""
    return UnsupportedError(
        f"{url} has no {verb}: {no.reason}. A method that has it: {no.instead}.", url=url, operation=operation or verb
    )
