"""The sync and the async face have the same names and signatures; what differs is listed here, with its reason.

Rules of this file
- Compared are public names, their parameters with defaults, and that the async one is awaited where the sync one waits.
- An exception from the rule is a line in one of the tables below.
"""

from __future__ import annotations

import inspect
from operator import attrgetter
from typing import Any

import pytest

import tincans
import tincans.raw
from tincans import aio

CLASSES = ["Peer", "Server", "Messages", "Job", "Queue", "State", "Flag", "Lock", "Ticket"]
CLASSES += ["raw.Connection", "raw.Listener"]

# Python's own spellings, and theirs that can be awaited.
SPELLINGS = {
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
    "__next__": "__anext__",
}

# These wait for nothing in either face.
IMMEDIATE = {
    "Peer.expose",
    "Peer.lock",
    "Peer.on",
    "Peer.ticket",
    "Peer.queue",
    "Peer.flag",
    "Peer.with_options",
    "Server.asgi",
    "Server.expose",
    "Server.expose_object",
    "Server.lock",
    "Server.on",
    "Server.queue",
    "Server.flag",
    "Messages.__aiter__",
    "Queue.__aiter__",
    "State.__aiter__",
    "Queue.__bool__",
    "Peer.__repr__",
    "Ticket.__repr__",
    "Ticket.__str__",
    "Server.__repr__",
    "raw.Connection.__aiter__",
    "raw.Connection.__repr__",
    "raw.Connection.fileno",
    "raw.Listener.__aiter__",
    "raw.Listener.__repr__",
    "raw.Listener.fileno",
}

# These give something at once that is awaited, or entered with `async with`, when it is needed.
OPENED_LATER = {"Peer.subscribe", "Server.subscribe", "State.watch", "Queue.take"}

# Python cannot await these; in the async face they raise TypeError and name the method to use.
NOT_AWAITABLE = {"State.__setitem__", "State.__delitem__", "State.__contains__", "State.__len__", "Queue.__len__"}

# Only in the async face: what a thing that is opened later, or has a length that must be awaited, needs besides.
ONLY_ASYNC = {"Messages.__await__", "State.__bool__", "State.__iter__"}


def named(face: Any, name: str) -> Any:
    """A class or function of a face; `raw.` stands for that part of it."""
    return attrgetter(name)(face)


def public(cls: type) -> dict[str, Any]:
    """The methods and properties that a user meets."""
    hidden = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__init__", "__slots__"}
    return {
        name: value
        for name, value in vars(cls).items()
        if name not in hidden
        and (not name.startswith("_") or name.startswith("__"))
        and (inspect.isfunction(value) or isinstance(value, property))
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def pairs() -> list[tuple[str, Any, Any]]:
    found = []
    for cls in CLASSES:
        ours = public(named(aio, cls))
        for name, value in public(named(tincans, cls)).items():
            spelled = SPELLINGS.get(name, name)
            found.append((f"{cls}.{spelled}", value, ours.get(spelled)))
    return found


PAIRS = pairs()


def test_both_faces_offer_the_same_public_names() -> None:
    assert sorted(aio.__all__) == sorted(tincans.__all__)


def test_everything_that_is_no_word_of_a_face_is_the_same_object() -> None:
    differ = {name for name in tincans.__all__ if getattr(tincans, name) is not getattr(aio, name)}
    assert differ == {*(name for name in CLASSES if "." not in name), "connect", "raw", "serve"}


@pytest.mark.parametrize(("name", "sync", "asynchronous"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_a_name_of_the_sync_face_is_in_the_async_face(name: str, sync: Any, asynchronous: Any) -> None:
    assert asynchronous is not None
    assert isinstance(asynchronous, property) is isinstance(sync, property)


METHODS = [pair for pair in PAIRS if inspect.isfunction(pair[1]) and pair[2] is not None]
IDS = [pair[0] for pair in METHODS]


@pytest.mark.parametrize(("name", "sync", "asynchronous"), METHODS, ids=IDS)
def test_a_method_takes_the_same_parameters(name: str, sync: Any, asynchronous: Any) -> None:
    if name.endswith("__aexit__"):  # whether its parameters are spelled out is nobody's business
        return
    assert parameters(asynchronous) == parameters(sync)


@pytest.mark.parametrize(("name", "sync", "asynchronous"), METHODS, ids=IDS)
def test_what_waits_in_the_sync_face_is_awaited_in_the_async_face(name: str, sync: Any, asynchronous: Any) -> None:
    awaited = inspect.iscoroutinefunction(asynchronous)
    assert awaited is (name not in IMMEDIATE | OPENED_LATER | NOT_AWAITABLE)


def test_the_async_face_has_no_names_of_its_own_but_the_listed() -> None:
    more = set()
    for cls in CLASSES:
        theirs = {SPELLINGS.get(name, name) for name in public(named(tincans, cls))}
        more |= {f"{cls}.{name}" for name in public(named(aio, cls)) if name not in theirs}
    assert more == ONLY_ASYNC


@pytest.mark.parametrize("name", ["connect", "serve", "raw.connect", "raw.listen"])
def test_the_openers_take_the_same_parameters(name: str) -> None:
    assert parameters(named(aio, name)) == parameters(named(tincans, name))


@pytest.mark.parametrize(("sync", "asynchronous"), [(tincans.Peer, aio.Peer), (tincans.Server, aio.Server)])
def test_what_the_docs_promise_stands_in_both_faces(sync: type, asynchronous: type) -> None:
    for name, value in public(sync).items():
        if not name.startswith("__"):
            assert inspect.getdoc(value), name
            assert inspect.getdoc(public(asynchronous)[name]), name


def test_every_listed_exception_is_there() -> None:
    there = {f"{cls}.{name}" for cls in CLASSES for name in public(named(aio, cls))}
    assert (IMMEDIATE | OPENED_LATER | NOT_AWAITABLE | ONLY_ASYNC) - there == set()
