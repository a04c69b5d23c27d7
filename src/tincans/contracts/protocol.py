"""PublicProtocol: a public way to call (HTTP, JSON-RPC, gRPC, ...) with a server and clients of its own.

Rules of this file
- Protocols and small records only, no code.
- A public protocol serves the exposed functions to foreign programs in their own terms, and calls foreign servers. It
  knows dispatch (by `Service`), never the session: there are no links, no ids and no wires in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tincans.contracts.connection import Identity
from tincans.contracts.wire import Wire
from tincans.facts import Facts

if TYPE_CHECKING:  # core stands above this room; only the names of its types are needed here
    from tincans.core.address import Address, Option
    from tincans.core.dispatch import Dispatcher, Exposed
    from tincans.core.messages import Request


class Elements(Protocol):
    """A stream of a hub."""

    def receive(self, *, timeout: float | None) -> Any:
        """The next (topic or key, value, how many were lost so far); None at the timeout; `core.streams.ENDED` when it
        has ended."""
        ...

    def close(self) -> None: ...


class Service(Protocol):
    """The serving program, as a public protocol sees it. All may be called from any thread, several at a time."""

    name: str
    dispatcher: Dispatcher
    """What is exposed: `dispatcher.interface` describes it, `dispatcher.find(name)` has the function."""

    keys: Mapping[str, bytes]
    """The keys that callers may prove, by name; empty when anybody may call."""

    def find(self, name: str) -> Exposed:
        """The function of this name. NotExposedError; a server that has just begun is given a moment to expose it, so
        this may block this thread."""
        ...

    def call(self, request: Request[Any], *, wire: Wire, caller: Identity) -> Any:
        """Run an exposed function; the request's undecoded bodies are read by `wire` into its annotated types.

        Blocks this thread until it returns (an async one runs on its loop), at most `request.timeout`. A generator is
        returned as an iterator, to be driven by the protocol and closed when nobody wants more. NotExposedError,
        ArgumentError (with the parameter's name), CallTimeoutError, or whatever the function raised.
        """
        ...

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """One question to the hub ("$put", "$get", ...), as pump/questions.py writes them down."""
        ...

    def tell(self, name: str, *args: Any) -> None:
        """A question whose answer nobody waits for ("$publish")."""
        ...

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        """A subscription or a watch at the hub ("$subscribe", "$watch")."""
        ...


class Served(Protocol):
    """A public protocol's server at work."""

    address: str
    """The URL to connect to, with the real port."""

    def close(self) -> None:
        """Stop listening at once, end what is open after it had a moment to finish. Blocks for a bounded time."""
        ...


class Caller(Protocol):
    """The calling side of a public protocol. All may be called by several threads at the same time."""

    def call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> Any:
        """The result, as plain data (a stream as an iterator with `close`).

        RemoteError and the other errors of a call; DisconnectedError with its outcome when the server goes.
        """
        ...

    def notify(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> None:
        """A call whose answer nobody wants; returns when it has been taken."""
        ...

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """The server's functions, as `Interface.describe` has them, as far as the protocol can tell."""
        ...

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """One question to the hub of a tincans server. UnsupportedError, with the reason, at a foreign one."""
        ...

    def tell(self, name: str, *args: Any) -> None:
        """A question whose answer nobody waits for."""
        ...

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        """A stream of the hub of a tincans server."""
        ...

    def close(self) -> None:
        """End every call (ClosedError). May be called twice."""
        ...


class PublicProtocol(Protocol):
    """One public protocol. Its room is `protocols/<scheme>`, with one instance named PROTOCOL."""

    facts: Facts
    options: Mapping[str, Option]
    dialects: Mapping[str, Facts]
    """The words that may stand before `+` in its URLs, such as "jsonrpc", and what can be done when it is spoken so."""

    def serve(self, address: Address, service: Service) -> Served:
        """Be reachable. NameInUseError when the port is taken."""
        ...

    def connect(
        self,
        address: Address,
        *,
        keys: Mapping[str, bytes],
        errors: Mapping[str, type[BaseException]],
        timeout: float,
    ) -> Caller:
        """Reach a server, ours or a foreign one; UnreachableError at once without one: the pump tries again.

        `keys` are those that the address names, the first of which is ours to prove; `errors` are the user's own
        classes, by name, that an exception of the other program may come back as.
        """
        ...
