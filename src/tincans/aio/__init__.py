"""The async face: the same names as `tincans`, with `await`, `async for` and `async with`.

    async with tincans.aio.connect("alice") as alice:        alice = await tincans.aio.serve("alice")
        print(await alice.call.add(2, 5))                    @alice.expose
        async for n in await alice.call.count(10):           async def add(a: int, b: int) -> int: ...
            print(n)                                         await alice.run()

Connections are received from on the event loop itself, with no thread in between, where they have a descriptor.
"""

from typing import TYPE_CHECKING, Any

from tincans.aio.peer import Peer, connect
from tincans.aio.tickets import Ticket
from tincans.aio.verbs import Flag, Job, Lock, Messages, Queue, State
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
from tincans.pump.execution import caller
from tincans.version import VERSION as __version__

if TYPE_CHECKING:
    from tincans.aio import raw
    from tincans.aio.server import Server, serve
    from tincans.sharing import empty
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
    "Server": "tincans.aio.server",
    "SingleInstance": "tincans.toolkit.files.single_instance",
    "empty": "tincans.sharing",
    "serve": "tincans.aio.server",
    "single": "tincans.toolkit.files.single_instance",
}


def __getattr__(name: str) -> Any:
    """What only some need is loaded by them, as in the sync face."""
    from importlib import import_module

    if name == "raw":
        return import_module("tincans.aio.raw")
    if name not in _LATER:
        raise AttributeError(f"module 'tincans.aio' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_LATER[name]), name)
    return found
