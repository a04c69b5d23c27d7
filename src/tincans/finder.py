"""From a URL's words to the code: a scheme is a file in `transports/`, a wire's name a file in `wires/`.

Rules of this file
- Nothing is imported before it is asked for; a missing library becomes "pip install tincans[extra]".
- After the built-in files come the entry points `tincans.transports` and `tincans.wires` of other packages.
- An unknown word gets "did you mean".
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, cast

from msgspec.structs import replace

from tincans import transports, wires
from tincans.contracts import Framing, Transport, Wire
from tincans.core.address import Address, parse
from tincans.core.framing import framing
from tincans.errors import AddressError, MissingLibraryError
from tincans.facts import Facts, No

NATIVE_WIRE = "native"


def find_transport(method: str) -> Transport:
    """The transport of a scheme.

    >>> find_transport("unix").facts.reach
    'one machine'
    >>> find_transport("unxi")
    Traceback (most recent call last):
    tincans.errors.AddressError: There is no method 'unxi'. Did you mean 'unix'? ...
    """
    return cast(Transport, _find(method, "method", transports, "tincans.transports", "TRANSPORT"))


def find_wire(name: str) -> Wire:
    """The wire of a name; "" is the native one."""
    return cast(Wire, _find(name or NATIVE_WIRE, "wire", wires, "tincans.wires", "WIRE"))


def find_framing(wire: Wire) -> Framing:
    """The framing that fits a wire on a byte stream."""
    return framing(wire.framing)


def names(package: Any, group: str) -> list[str]:
    """All words of one kind, the built-in ones first."""
    from importlib import metadata  # costs as much as the rest of the library, and only unknown words need it

    own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
    return own + [e.name for e in metadata.entry_points(group=group) if e.name not in own]


def methods() -> Mapping[str, Facts]:
    """The facts of every method, by scheme. Needs no optional library.

    >>> "unix" in methods()
    True
    """
    return {name: find_transport(name).facts for name in names(transports, "tincans.transports")}


def resolve(url: str) -> tuple[Address, Transport, Wire]:
    """A URL's parts as code."""
    address = parse(url)
    return address, find_transport(address.method), find_wire(address.wire)


def facts_of(transport: Transport, wire: Wire) -> Facts:
    """What a method can do over a wire: what either refuses is refused."""
    refused = {
        verb: verdict
        for verb in ("call", "publish", "queue", "state", "flag", "lock", "share")
        if isinstance(verdict := getattr(wire.facts, verb), No)
    }
    two_way = transport.facts.two_way and wire.facts.two_way
    return replace(transport.facts, two_way=two_way, **cast(Any, refused))


def _find(name: str, kind: str, package: Any, group: str, attribute: str) -> object:
    module_name = f"{package.__name__}.{name}"
    try:
        if name.isidentifier() and not name.startswith("_"):
            return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise MissingLibraryError(
                f"The {kind} {name!r} needs the library {error.name!r}: pip install 'tincans[{name}]'"
            ) from error
    from importlib import metadata

    for entry in metadata.entry_points(group=group, name=name):
        return getattr(entry.load(), attribute, None) or entry.load()
    known = names(package, group)
    close = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise AddressError(f"There is no {kind} {name!r}.{hint} There are: {', '.join(known)}.")
