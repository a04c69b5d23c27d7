"""Where a buffer lies in memory, and copying between addresses without holding up other threads.

Rules of this file
- The only file that handles addresses; they are valid only while the buffer is held (`extent`).
- Imported when needed: ctypes takes a while, and only large buffers need this.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Held(ctypes.Structure):
    """Py_buffer, as CPython's Include/pybuffer.h has it (part of the stable ABI since 3.11)."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("owner", ctypes.c_void_p),
        ("size", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


@contextmanager
def extent(data: Any) -> Iterator[tuple[int, int]]:
    """The address and size in bytes of a contiguous buffer, which cannot move or go inside the `with` block.

    >>> with extent(b"12345") as (address, size):
    ...     size
    5
    """
    held = _Held()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(held), 0)
    try:
        yield held.address or 0, held.size
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(held))


def copy(target: Any, source: Any) -> None:
    """Copy all of `source` to the beginning of `target`; other threads run meanwhile.

    >>> target = bytearray(3)
    >>> copy(target, b"ab")
    >>> target
    bytearray(b'ab\\x00')
    """
    with extent(target) as (to, room), extent(source) as (origin, size):
        if size > room:
            raise ValueError(f"{size} bytes do not fit into {room}")
        ctypes.memmove(to, origin, size)
