"""Where a buffer lies in memory, copying between addresses, and taking pages, without holding up other threads.

Rules of this file
- The only file that handles addresses; they are valid only while the buffer is held (`extent`).
- Pages are taken by madvise, which fails with an error; taken by a plain write, running out would be a signal.
- Imported when needed: ctypes takes a while, and only large buffers need this.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tincans import _speed

_POPULATE_WRITE: Final = 23
"""MADV_POPULATE_WRITE, Linux 5.14 (include/uapi/asm-generic/mman-common.h)."""

_STEP: Final = 1 << 20
"""Bytes that are taken and filled in one go, so that they are still in the cache when they are filled."""

_TWO_HANDS_FROM: Final = 16 << 20
"""Bytes from which fresh memory is taken by two threads: the kernel's clearing of pages is what takes the time."""

_PAST_CACHES_FROM: Final = 32 << 20
"""Bytes from which a copy is made past the caches, by two threads (_speed/large_copy.c): two thirds of the time. Less
than this the reader had better find in the cache."""


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


_GET: Final = ctypes.pythonapi.PyObject_GetBuffer
_GET.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_RELEASE: Final = ctypes.pythonapi.PyBuffer_Release
_RELEASE.argtypes = (ctypes.c_void_p,)
_RELEASE.restype = None


@contextmanager
def extent(data: Any) -> Iterator[tuple[int, int]]:
    """The address and size in bytes of a contiguous buffer, which cannot move or go inside the `with` block.

    >>> with extent(b"12345") as (address, size):
    ...     size
    5
    """
    held = _Held()
    place = ctypes.addressof(held)
    _GET(data, place, 0)
    try:
        yield held.address or 0, held.size
    finally:
        _RELEASE(place)


def address_of(data: Any) -> tuple[int, int]:
    """The address and size in bytes of a contiguous buffer: true as long as the caller keeps it, and lets nobody resize
    it. Four times as fast as `extent`.

    >>> address_of(b"12345")[1]
    5
    """
    held = _Held()
    place = ctypes.addressof(held)
    _GET(data, place, 0)
    found = held.address or 0, held.size
    _RELEASE(place)
    return found


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
        if size < _PAST_CACHES_FROM or _speed.why_not():
            ctypes.memmove(to, origin, size)
            return
    from tincans._speed import _core

    _core.copy_large(target, source)


def fill_fresh(target: Any, size: int, source: Any = b"") -> None:
    """Take the first `size` bytes of a fresh mapping from the kernel, and copy `source` to its beginning.

    OSError when there is no memory, or when the kernel is too old to say so (EINVAL).

    >>> import mmap
    >>> target = mmap.mmap(-1, 5000)
    >>> fill_fresh(target, 5000, b"ab")
    >>> target[:3]
    b'ab\\x00'
    """
    with extent(target) as (to, room), extent(source) as (origin, length):
        if max(size, length) > room:
            raise ValueError(f"{max(size, length)} bytes do not fit into {room}")

        def fill(begin: int, end: int) -> None:
            for at in range(begin, end, _STEP):
                step = min(_STEP, end - at)
                _populate(to + at, step)
                if at < length:
                    ctypes.memmove(to + at, origin + at, min(step, length - at))

        _with_two_hands(fill, size)


def _populate(address: int, size: int) -> None:
    if _madvise(address, size, _POPULATE_WRITE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _with_two_hands(fill: Callable[[int, int], None], size: int) -> None:
    """`fill(begin, end)` for all of it, by this thread and, when it is worth it, by another one."""
    half = size // 2 // _STEP * _STEP if size >= _TWO_HANDS_FROM and (os.cpu_count() or 1) > 1 else size
    errors: list[BaseException] = []

    def other() -> None:
        try:
            fill(half, size)
        except BaseException as error:
            errors.append(error)

    helper = threading.Thread(target=other, name="tincans-memory", daemon=True) if half < size else None
    if helper is not None:
        helper.start()
    try:
        fill(0, half)
    finally:
        if helper is not None:
            helper.join()
    if errors:
        raise errors[0]


def _find_madvise() -> Callable[[int, int, int], int]:
    try:
        found = ctypes.CDLL(None, use_errno=True).madvise
    except (AttributeError, OSError):
        return _no_madvise
    found.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return found


def _no_madvise(address: int, size: int, advice: int) -> int:
    ctypes.set_errno(errno.EINVAL)
    return -1


_madvise: Final = _find_madvise()
