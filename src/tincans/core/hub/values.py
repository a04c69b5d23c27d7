"""Values: named, the last write wins; those who watch or wait for one are told.

Rules of this file
- A value is opaque: it is stored and handed out. Only `$wait` compares, and only None, bool, int and str of the very
  same type, so that an array is never asked whether it equals something.
- A key's version grows by one with each change, also across a delete: the versions of deleted keys are remembered. When
  too many are, the oldest is forgotten, and unknown keys start above it, so that no version ever comes twice.
- Flags are values too: a key without a value counts as False for `$wait`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tincans.core.hub import arguments
from tincans.core.hub.claims import Claim, Claims, Home
from tincans.core.hub.journal import Journal, ValueDeleted, ValueForgotten, ValueSet
from tincans.core.hub.outcomes import Done, News, Opened, Outcome
from tincans.errors import ArgumentError, FullError

_COMPARED = (bool, int, str, type(None))

Held = tuple[int, Any]  # version, value


@dataclass(slots=True, eq=False)
class Watching:
    """A running watch (`wanted` unused), or a wait for a value."""

    home: Home
    owner: Hashable
    ticket: Hashable
    key: str
    waits: bool
    wanted: Any = None


class Values:
    """The values of one hub: at most `most` keys, and the versions of at most `most_deleted` deleted ones."""

    def __init__(self, claims: Claims, journal: Journal, most: int, most_deleted: int) -> None:
        self._claims = claims
        self._journal = journal
        self._most = most
        self._most_deleted = most_deleted
        self._held: dict[str, Held] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._floor = 0
        self._watching: dict[str, dict[Hashable, Watching]] = {}

    def get(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], key: str) -> None:
        """$get(key) -> [version, value], or None when it has none."""
        held = self._held.get(arguments.name("key", key))
        out.append(Done(ticket, None if held is None else [*held]))

    def set(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], key: str, value: Any) -> None:
        """$set(key, value) -> its new version."""
        before = self._held.get(arguments.name("key", key))
        if before is None and len(self._held) >= self._most:
            raise FullError(
                f"The hub already keeps values under {self._most} keys. Delete some, or serve with a larger limit."
            )
        deleted = None if before else self._deleted.pop(key, None)
        version = 1 + (before[0] if before else self._floor if deleted is None else deleted)
        self._held[key] = (version, value)
        if self._journal.on:
            self._journal.note(ValueSet(key, version, value), partial(self._restore, key, before, deleted), ticket)
        out.append(Done(ticket, version))
        if key in self._watching:
            self._tell(key, [version, value, False], out)

    def delete(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], key: str) -> None:
        """$delete(key) -> whether there was a value."""
        before = self._held.pop(arguments.name("key", key), None)
        out.append(Done(ticket, before is not None))
        if before is None:
            return
        version = before[0] + 1
        self._deleted[key] = version
        if self._journal.on:
            self._journal.note(ValueDeleted(key, version), partial(self._restore, key, before, None), ticket)
        if len(self._deleted) > self._most_deleted:
            self._forget_oldest()
        if key in self._watching:
            self._tell(key, [version, None, True], out)

    def keys(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], prefix: str = "") -> None:
        """$keys(prefix="") -> the keys that have a value and begin with `prefix`, sorted."""
        if not isinstance(prefix, str):
            raise ArgumentError(f"The prefix of keys is a text, not {type(prefix).__name__}.")
        out.append(Done(ticket, sorted(key for key in self._held if key.startswith(prefix))))

    def watch(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], key: str) -> None:
        """$watch(key) -> a stream of [version, value, deleted], the present value first when there is one."""
        self._watch(Watching(self, owner, ticket, arguments.name("key", key), waits=False))
        out.append(Opened(ticket, 1, "drop_oldest"))
        held = self._held.get(key)
        if held is not None:
            out.append(News(ticket, key, [*held, False]))

    def wait(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], key: str, value: Any) -> None:
        """$wait(key, value) -> True as soon as the key has this value; a key without one counts as False."""
        if type(value) not in _COMPARED:
            raise ArgumentError(
                f"Wait for None, a bool, an int or a str, not {type(value).__name__}; watch the key instead."
            )
        held = self._held.get(arguments.name("key", key))
        if _is(False if held is None else held[1], value):
            out.append(Done(ticket, True))
        else:
            self._watch(Watching(self, owner, ticket, key, waits=True, wanted=value))

    def withdraw(self, claim: Claim, *, seen: bool) -> None:
        """End a watch or a wait."""
        assert isinstance(claim, Watching)
        self._claims.remove(claim)
        of_key = self._watching[claim.key]
        del of_key[claim.ticket]
        if not of_key:
            del self._watching[claim.key]

    def restore(self, change: ValueSet | ValueDeleted) -> None:
        """Take up what was kept."""
        if isinstance(change, ValueSet):
            self._held[change.key] = (change.version, change.value)
        else:
            self._deleted[change.key] = change.version

    def restore_floor(self, floor: int) -> None:
        """Take up the version above which unknown keys start."""
        self._floor = floor

    def _watch(self, watching: Watching) -> None:
        self._claims.check_room(watching.owner)
        self._claims.add(watching)
        self._watching.setdefault(watching.key, {})[watching.ticket] = watching

    def _tell(self, key: str, news: list[Any], out: list[Outcome]) -> None:
        value = False if news[2] else news[1]
        for watching in list(self._watching[key].values()):
            if not watching.waits:
                out.append(News(watching.ticket, key, news))
            elif _is(value, watching.wanted):
                self.withdraw(watching, seen=True)
                out.append(Done(watching.ticket, True))
                if self._journal.on:
                    self._journal.depends(None, watching.ticket)

    def _forget_oldest(self) -> None:
        key, version = self._deleted.popitem(last=False)
        before, self._floor = self._floor, max(self._floor, version)
        if self._journal.on:
            self._journal.note(ValueForgotten(key, self._floor), partial(self._remember, key, version, before))

    def _remember(self, key: str, version: int, floor: int) -> None:
        self._deleted[key] = version
        self._deleted.move_to_end(key, last=False)
        self._floor = floor

    def _restore(self, key: str, before: Held | None, deleted: int | None) -> None:
        self._held.pop(key, None)
        self._deleted.pop(key, None)
        if before is not None:
            self._held[key] = before
        elif deleted is not None:
            self._deleted[key] = deleted


def _is(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)
