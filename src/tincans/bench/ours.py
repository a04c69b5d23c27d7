"""Our own methods as contestants: one for each that `tincans.methods()` knows, and a few ways to use `local`.

Rules of this file
- What a method can do is read from its facts; where it is served follows from how far it reaches.
- Only the public face is used, as a user would; a method that refuses to start is left out with its own words.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import tincans
from tincans.bench import sync_ends
from tincans.bench.contestant import Ability, Contestant
from tincans.facts import Facts, No, Yes
from tincans.finder import find_protocol, find_transport, is_protocol, method_of

PLACES = {
    "redis": "redis://127.0.0.1:{broker}/0/bench",
    "stdio": "stdio:{child}",
    "sqlite": "sqlite:{place}/bench.db",
    "file": "file:{place}/bench.json",
    "mmap": "mmap:{place}/bench.map",
    "mq": "mq:{unique}",
}
"""Methods whose address is neither a name nor a host and a port."""

MOST_CLIENTS = {"mq": 40}
"""Methods that serve few clients at once: their docstrings say how many, and a few are connected besides the crowd."""

BY_DESCRIPTOR = "descriptor"
"""What the facts of a method that passes memory on say of `share`."""
VARIANTS = ("local, not spinning", "local, aio", "local, aio client", "unix, aio", "sqlite, sync normal")
"""Other ways to use a method; what is before the comma is the method."""


def contestants() -> list[Contestant]:
    """All of them."""
    known = tincans.methods()
    found = [method(name, facts) for name, facts in sorted(known.items())]
    return found + [variant(name, known[name.partition(",")[0]]) for name in VARIANTS]


def named(name: str) -> Contestant:
    """One of them; no other method is looked at."""
    base = name.partition(",")[0]
    facts = find_protocol(base).facts if is_protocol(base) else find_transport(base).facts
    return variant(name, facts) if name in VARIANTS else method(name, facts)


def variant(name: str, facts: Facts) -> Contestant:
    """Another way to use a method."""
    base = name.partition(",")[0]
    if name.endswith("not spinning"):
        return method(name, facts, f"{base}:bench?spin=0")
    if name.endswith("sync normal"):
        return method(name, facts, f"{place_of(base, facts)}?sync=normal")
    from tincans.bench import aio_ends

    sync = method(name, facts, place_of(base, facts))
    both = not name.endswith("client")
    return replace(
        sync,
        about=f"`tincans.aio` over `{base}:`, {'both ends' if both else 'the client only'}",
        can=frozenset({"call", "pipeline", "crowd"}),
        connect=aio_ends.connected,
        crowd=aio_ends.crowd,
        serve=aio_ends.serving(lambda place: sync_ends.filled(place_of(base, facts), place)) if both else sync.serve,
    )


def method(name: str, facts: Facts, url: str = "") -> Contestant:
    """One method, or one way to use it."""
    url = url or place_of(name, facts)
    can = abilities(facts)
    return Contestant(
        name=name,
        kind="ours",
        about=f"`{url}`, {facts.summary}",
        can=can - {"publish", "queue", "turn", "crowd"} if name == "stdio" else can,  # there Alice is Bob's own child
        serve=lambda place: sync_ends.serving(sync_ends.filled(url, place), place),
        connect=sync_ends.connected,
        service="redis" if "{broker}" in url else "",
        needs=library(facts),
        most_clients=MOST_CLIENTS.get(name, 0),
        obstacle=obstacle(facts, can),
    )


def library(facts: Facts) -> tuple[str, ...]:
    """The module that a method needs; the C core of this package is no module of that name."""
    root = facts.library.partition(".")[0]
    return (root,) if root.isidentifier() else ()


def at(url: str, *, running: bool = False) -> Contestant:
    """One URL of the user's; `running`: a server of hers answers there."""
    facts = method_of(url).facts
    can = abilities(facts)
    serve = sync_ends.known(url) if running else lambda place: sync_ends.serving(url, place)
    return Contestant(url, "ours", facts.summary, can, serve, sync_ends.connected, obstacle=obstacle(facts, can))


def abilities(facts: Facts) -> frozenset[Ability]:
    """What is worth measuring, from the facts."""
    can: set[Ability] = set()
    if not isinstance(facts.call, No):
        can |= {"call", "pipeline", "crowd", "payload"}
    if not isinstance(facts.publish, No):
        can.add("publish")
    if not isinstance(facts.queue, No):
        can |= {"queue", "turn"}
    if not isinstance(facts.state, No):
        can.add("state")
    if isinstance(facts.share, Yes) and BY_DESCRIPTOR in facts.share.note:
        can.add("share")
    return frozenset(can)


def obstacle(facts: Facts, can: frozenset[Ability]) -> str:
    """Why it cannot be measured between two programs here, or ""."""
    if facts.reach == "one program":
        return "inside one program only"
    if sys.platform not in facts.platforms + facts.untested:
        return f"not on {sys.platform}"
    return "" if can else "has none of the verbs that are measured"


def place_of(name: str, facts: Facts) -> str:
    """Where a method is served."""
    if name in PLACES:
        return PLACES[name]
    return f"{name}://127.0.0.1:0" if facts.reach == "network" else f"{name}:bench"
