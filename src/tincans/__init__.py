"""One Python API for every way two programs can talk.

    alice = tincans.serve("alice")               alice = tincans.connect("alice")
    @alice.expose                                print(alice.call.add(2, 5))
    def add(a: int, b: int) -> int: ...
    alice.run()

Change "alice" to any method's URL ("unix:alice", "pipe:alice", "tcp://host:9000") on both sides and nothing else
changes.
"""

from typing import TYPE_CHECKING, Any

from tincans.contracts import Change, Note
from tincans.errors import (
    AddressError,
    ArgumentError,
    CallCancelledError,
    CallTimeoutError,
    ClosedError,
    DeniedError,
    DisconnectedError,
    FullError,
    LeaseLostError,
    MissingLibraryError,
    NameInUseError,
    NotExposedError,
    ProtocolError,
    RemoteError,
    ResultError,
    TincansError,
    TooLargeError,
    UnreachableError,
    UnsendableError,
    UnsupportedError,
    VersionError,
    WaitTimeoutError,
)
from tincans.finder import methods
from tincans.peer import Peer, connect
from tincans.pump.execution import caller
from tincans.verbs import Flag, Job, Lock, Messages, Queue, State
from tincans.version import VERSION as __version__

if TYPE_CHECKING:
    from tincans.server import Server, serve

__all__ = [
    "AddressError",
    "ArgumentError",
    "CallCancelledError",
    "CallTimeoutError",
    "Change",
    "ClosedError",
    "DeniedError",
    "DisconnectedError",
    "Flag",
    "FullError",
    "Job",
    "LeaseLostError",
    "Lock",
    "Messages",
    "MissingLibraryError",
    "NameInUseError",
    "NotExposedError",
    "Note",
    "Peer",
    "ProtocolError",
    "Queue",
    "RemoteError",
    "ResultError",
    "Server",
    "State",
    "TincansError",
    "TooLargeError",
    "UnreachableError",
    "UnsendableError",
    "UnsupportedError",
    "VersionError",
    "WaitTimeoutError",
    "__version__",
    "caller",
    "connect",
    "methods",
    "serve",
]


def __getattr__(name: str) -> Any:
    """`serve` and `Server` are loaded by those who serve: a program that only connects starts sooner."""
    if name not in ("Server", "serve"):
        raise AttributeError(f"module 'tincans' has no attribute {name!r}")
    import tincans.server as server

    globals().update(Server=server.Server, serve=server.serve)
    return globals()[name]
