"""From a URL's words to the code: a scheme is a file in `transports/` or a room in `protocols/`, a wire's name a file
in `wires/`.

Rules of this file
- Nothing is imported before it is asked for; a missing library becomes "pip install tincans[extra]".
- After the built-in files come the entry points `tincans.transports`, `tincans.protocols` and `tincans.wires` of other
  packages.
- An unknown word gets "did you mean".
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from tincans import protocols, transports, wires
from tincans.contracts import Framing, Transport, Wire
from tincans.core.address import Address, Option, parse
from tincans.core.framing import framing
from tincans.errors import AddressError, MissingLibraryError
from tincans.facts import VERBS, Facts, No, Verb, Yes

if TYPE_CHECKING:
    from tincans.contracts.protocol import PublicProtocol

NATIVE_WIRE = "native"
TRANSPORTS = "tincans.transports"
PROTOCOLS = "tincans.protocols"


class Method(Struct, frozen=True):
    """What a URL stands for: a transport and a wire, or a public protocol, and what can be done with it."""

    address: Address
    facts: Facts
    wire: Wire
    transport: Transport | None = None
    protocol: PublicProtocol | None = None

    @property
    def calls(self) -> bool:
        """Whether functions can be called over it at all."""
        return not isinstance(self.facts.call, No)


def method_of(url: str) -> Method:
    """A URL's parts as code, its options checked.

    >>> method_of("json+unix:alice").wire.name
    'json'
    """
    address = parse(url)
    if is_protocol(address.method):
        protocol = find_protocol(address.method)
        if address.wire and address.wire not in protocol.dialects:
            raise AddressError(_no_such_wire(address, tuple(protocol.dialects)), url=str(address))
        facts = protocol.dialects.get(address.wire, protocol.facts)
        method = Method(address, facts, find_wire("json"), protocol=protocol)
        address.settings(protocol.options)
    else:
        transport = find_transport(address.method)
        address, wire = _configured(address, _wire_for(address, transport))
        method = Method(address, facts_of(transport, wire, address), wire, transport)
        address.settings(transport.options)
    return method


def _wire_for(address: Address, transport: Transport) -> Wire:
    carried: tuple[str, ...] = getattr(transport, "wires", ())
    if carried and address.wire and address.wire not in carried:
        raise AddressError(_no_such_wire(address, carried), url=str(address))
    wire = find_wire(address.wire or (carried[0] if carried else ""))
    if transport.facts.stored and wire.greets:
        import copy

        wire = copy.copy(wire)  # nobody may be there to greet
        wire.greets = False
    return wire


def _configured(address: Address, wire: Wire) -> tuple[Address, Wire]:
    """A wire with its own options of the URL, and the URL without them."""
    options: Mapping[str, Option] = getattr(wire, "options", {})
    if not options:
        return address, wire
    own = {name: text for name, text in address.options.items() if name in options}
    rest = {name: text for name, text in address.options.items() if name not in options}
    settings = replace(address, options=own).settings(options)
    return replace(address, options=rest), cast(Any, wire).configured(settings)


def _no_such_wire(address: Address, words: tuple[str, ...]) -> str:
    there = ", ".join(words) or "no other word"
    return f"{address.method} cannot be spoken as {address.wire!r}: before its '+' there may stand {there}."


def find_transport(method: str) -> Transport:
    """The transport of a scheme.

    >>> find_transport("unix").facts.reach
    'one machine'
    >>> find_transport("unxi")
    Traceback (most recent call last):
    tincans.errors.AddressError: There is no method 'unxi'. Did you mean 'unix'? ...
    """
    return cast(Transport, _find(method, "method", transports, TRANSPORTS, "TRANSPORT"))


def is_protocol(method: str) -> bool:
    """Whether a scheme is a public protocol's. Nothing of it is imported, and a built-in method costs one look."""
    if _has_file(transports, method):
        return False
    if _has_file(protocols, method):
        return True
    from importlib import metadata

    return bool(metadata.entry_points(group=PROTOCOLS, name=method))


def _has_file(package: Any, name: str) -> bool:
    places = [os.path.join(folder, name) for folder in package.__path__]  # noqa: PTH118  # pathlib costs a tenth of it all
    return any(os.path.isdir(place) or os.path.isfile(f"{place}.py") for place in places)  # noqa: PTH112, PTH113


def find_protocol(method: str) -> PublicProtocol:
    """The public protocol of a scheme."""
    return cast("PublicProtocol", _find(method, "protocol", protocols, PROTOCOLS, "PROTOCOL"))


def find_wire(name: str) -> Wire:
    """The wire of a name; "" is the native one."""
    return cast(Wire, _find(name or NATIVE_WIRE, "wire", wires, "tincans.wires", "WIRE"))


def find_framing(wire: Wire) -> Framing:
    """The framing that fits a wire on a byte stream."""
    return framing(wire.framing)


def names(package: Any, group: str) -> list[str]:
    """All words of one kind, the built-in ones first."""
    import pkgutil
    from importlib import metadata  # costs as much as the rest of the library, and only unknown words need it

    own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
    return own + [e.name for e in metadata.entry_points(group=group) if e.name not in own]


def methods() -> Mapping[str, Facts]:
    """The facts of every method, by scheme. Needs no optional library.

    >>> "unix" in methods()
    True
    """
    known = {name: find_transport(name).facts for name in names(transports, TRANSPORTS)}
    return known | {name: find_protocol(name).facts for name in names(protocols, PROTOCOLS)}


def facts_of(transport: Transport, wire: Wire, address: Address | None = None) -> Facts:
    """What a method can do over a wire (and at an address, where that makes a difference): what the method refuses is
    refused, and what the wire cannot say to a hub."""
    at = getattr(transport, "facts_at", None)
    facts: Facts = transport.facts if at is None or address is None else at(address)
    refused = {verb: wire.facts.verdict(verb) for verb in VERBS if _is_unspeakable(verb, facts, wire)}
    two_way = facts.two_way and wire.facts.two_way
    one_memory = facts.one_memory and wire.facts.one_memory
    return replace(facts, two_way=two_way, one_memory=one_memory, **cast(Any, refused))


def _is_unspeakable(verb: Verb, facts: Facts, wire: Wire) -> bool:
    """A method's own board takes single values, which every wire can write; the rest is messages."""
    own = facts.verdict(verb)
    by_messages = isinstance(own, Yes) and (own.by == "hub" or verb in ("call", "share"))
    return by_messages and isinstance(wire.facts.verdict(verb), No)


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
    known = names(package, group) + (names(protocols, PROTOCOLS) if package is transports else [])
    import difflib  # for unknown words only

    close = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise AddressError(f"There is no {kind} {name!r}.{hint} There are: {', '.join(known)}.")
