"""The shareable memory that this program has mapped now, and where in it a buffer lies.

Rules of this file
- An address inside live memory can belong to nothing else: whoever has a buffer there keeps that memory alive.
  So it does not matter how many views, arrays, tensors or tables lie between.
- Nothing here keeps memory: entries are weak, and finalizers take them out before the memory goes.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Protocol


class Live(Protocol):
    """Mapped shareable memory: `length` bytes at `address` are those from `start` on behind `descriptor`.

    `writable` says that everybody who gets it may write to it. `bytes_of` gives a view that keeps it alive.
    """

    address: int
    length: int
    start: int
    descriptor: int
    writable: bool

    def bytes_of(self, begin: int, end: int) -> memoryview: ...


class LiveMemory:
    """All of them. Any thread may ask; a finalizer may run in the middle of it."""

    def __init__(self) -> None:
        self._all: dict[int, weakref.ref[Any]] = {}
        self._writable: set[int] = set()

    def add(self, memory: Live) -> None:
        """From now on it is found, as long as it lives."""
        self._all[memory.address] = weakref.ref(memory)
        if memory.writable:
            self._writable.add(memory.address)

    def remove(self, memory: Live) -> None:
        """To be called by its finalizer, while it still is where it was."""
        self._all.pop(memory.address, None)
        self._writable.discard(memory.address)

    def find(self, address: int, size: int) -> Live | None:
        """The memory in which all of these bytes lie."""
        end = address + size
        for begin, ref in list(self._all.items()):
            if begin <= address:
                memory: Live | None = ref()
                if memory is not None and end <= begin + memory.length:
                    return memory
        return None

    def any_writable(self) -> bool:
        """Whether any of it may be written to by all."""
        return bool(self._writable)


LIVE: Final = LiveMemory()
"""The memory of this program."""


@cache
def finder() -> Callable[[Any], tuple[int, int]]:
    """raw_buffer.address_of, imported when it is needed first: an import in a function costs as much as the rest."""
    from tincans.toolkit.raw_buffer import address_of

    return address_of


def segment_of(data: Any) -> tuple[int, int, int] | None:
    """Where a buffer lies in shareable memory, as (descriptor, offset, length); None when it does not.

    The descriptor stays the memory's: duplicate it to keep it. `data` may be a view, an array, a table's buffer.

    >>> from tincans.toolkit.sealed_memory import attach, frozen_copy
    >>> view = attach(frozen_copy(b"0123456789"), offset=0, length=10, frozen=True)
    >>> descriptor, offset, length = segment_of(view[3:5])
    >>> offset, length
    (3, 2)
    """
    address, length = finder()(data)
    memory = LIVE.find(address, length)
    return None if memory is None else (memory.descriptor, memory.start + address - memory.address, length)


def is_writable(data: Any) -> bool:
    """Whether a buffer lies in memory that was made to be written to by several programs."""
    memory = LIVE.find(*finder()(data))
    return memory is not None and memory.writable


class Held:
    """A part of the pool's memory that this program itself has its hands on, as a numpy array over it.

    It is a holder like every other: `descriptor` is an opening of its own under the shared lock (memory_pool.py).
    """

    __slots__ = ("__weakref__", "_mapping", "address", "descriptor", "length", "start", "writable")

    def __init__(self, mapping: Any, address: int, size: int, descriptor: int, *, writable: bool) -> None:
        self._mapping = mapping  # it must outlive the pool's own interest in it
        self.address = address
        self.length = size
        self.start = 0
        self.descriptor = descriptor
        self.writable = writable
        LIVE.add(self)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """numpy's protocol for arrays over foreign memory: flat bytes. The array keeps this object."""
        return {"version": 3, "shape": (self.length,), "typestr": "|u1", "data": (self.address, False)}

    def bytes_of(self, begin: int, end: int) -> memoryview:
        """Some of it."""
        import numpy

        return numpy.asarray(self)[begin:end].data

    def __del__(self, _close: Any = os.close, _remove: Any = LIVE.remove) -> None:
        _remove(self)
        _close(self.descriptor)
