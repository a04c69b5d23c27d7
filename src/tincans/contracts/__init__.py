"""What a method-writer must write: Transport, Listener, Connection, Board, Wire, PublicProtocol.

Rules of this room
- Protocols and small records only, no code: nothing here does I/O.
- connection.py has the methods that move messages, wire.py the ways to write them down, board.py what a method may
  keep by itself, protocol.py the public ways to call.
"""

from tincans.contracts.board import (
    Answers,
    Board,
    Change,
    Delivery,
    Locks,
    Note,
    Policy,
    Queues,
    Subscription,
    Topics,
    Values,
)
from tincans.contracts.connection import (
    Buffer,
    Connection,
    Deframer,
    Framing,
    Identity,
    Listener,
    Parts,
    Transport,
)
from tincans.contracts.wire import Reader, References, Wire

__all__ = [
    "Answers",
    "Board",
    "Buffer",
    "Change",
    "Connection",
    "Deframer",
    "Delivery",
    "Framing",
    "Identity",
    "Listener",
    "Locks",
    "Note",
    "Parts",
    "Policy",
    "Queues",
    "Reader",
    "References",
    "Subscription",
    "Topics",
    "Transport",
    "Values",
    "Wire",
]
