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
    KeepError,
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
    from tincans import raw
    from tincans.server import Server, serve
    from tincans.sharing import empty
    from tincans.tickets import Ticket
    from tincans.toolkit.files.single_instance import SingleInstance, single

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
    "KeepError",
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
    "SingleInstance",
    "State",
    "Ticket",
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
    "empty",
    "methods",
    "raw",
    "serve",
    "single",
]


_LATER = {
    "Server": "tincans.server",
    "SingleInstance": "tincans.toolkit.files.single_instance",
    "Ticket": "tincans.tickets",
    "empty": "tincans.sharing",
    "serve": "tincans.server",
    "single": "tincans.toolkit.files.single_instance",
}


def __getattr__(name: str) -> Any:
    """What only some need is loaded by them: a program that only connects starts sooner."""
    from importlib import import_module

    if name == "raw":
        return import_module("tincans.raw")
    if name not in _LATER:
        raise AttributeError(f"module 'tincans' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_LATER[name]), name)
    return found
