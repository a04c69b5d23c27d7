"""Where an array lies, for those who pass memory on: its bytes with their gaps, or one copy without.

Rules of this file
- An array in shareable memory is passed as it lies there, whatever its strides.
- Any other array with gaps is copied once, straight into shareable memory.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tincans.toolkit.live_memory import LIVE
from tincans.toolkit.memory_pool import POOL, TooManyError

if TYPE_CHECKING:
    import numpy

    from tincans.toolkit.live_memory import Live

Place = tuple[memoryview, int, tuple[int, ...]]
"""Bytes, the offset of the first element among them, and the strides in bytes."""

WORTH_IT: Final = 1024 * 1024
"""Bytes. A smaller array travels through the string itself, where gaps would only be more to copy."""


def array_place(array: numpy.ndarray) -> Place | None:
    """The place of an array that is passed on as memory; None when it travels as well without.

    >>> import numpy
    >>> columns = numpy.zeros((1000, 3000))[:, ::2]
    >>> view, offset, strides = array_place(columns)
    >>> view.nbytes, offset, strides
    (12000000, 0, (12000, 8))
    """
    flags = array.flags
    together = flags.c_contiguous or flags.f_contiguous
    if together and not LIVE.any_writable():
        return None
    begin, end = _bounds(array)
    memory = LIVE.find(begin, end - begin) if array.base is not None and end > begin else None
    if memory is not None and memory.writable:
        return _lying(array, memory, begin, end)
    if together or array.nbytes < WORTH_IT:
        return None
    if memory is not None and array.nbytes <= end - begin:
        return _lying(array, memory, begin, end)
    return _copied(array)


def lies_shared(array: numpy.ndarray) -> bool:
    """Whether passing it on copies nothing."""
    begin, end = _bounds(array)
    return array.nbytes <= end - begin and LIVE.find(begin, end - begin) is not None


def room(size: int) -> memoryview | None:
    """Shareable memory to write `size` bytes to; None when there is none, and so little is needed that it does without.

    FullError when the pool is at its bound.
    """
    if size < WORTH_IT:
        return None
    import numpy

    return numpy.asarray(POOL.take(size, writable=False))[:size].data


def _bounds(array: numpy.ndarray) -> tuple[int, int]:
    """The addresses of its first byte and behind its last one."""
    begin = end = array.__array_interface__["data"][0]
    if array.size == 0:
        return begin, end
    for count, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            begin += (count - 1) * stride
        else:
            end += (count - 1) * stride
    return begin, end + array.itemsize


def _lying(array: numpy.ndarray, memory: Live, begin: int, end: int) -> Place | None:
    if array.nbytes > end - begin:  # repeated elements are no memory of their own
        return None
    first: int = array.__array_interface__["data"][0]
    return memory.bytes_of(begin - memory.address, end - memory.address), first - begin, array.strides


def _copied(array: numpy.ndarray) -> Place | None:
    numpy = sys.modules["numpy"]
    try:
        held = POOL.take(array.nbytes, writable=False)
    except TooManyError:
        return None  # descriptors are scarce: it travels without
    flat = numpy.asarray(held)[: array.nbytes]
    target = flat.view(array.dtype).reshape(array.shape)
    numpy.copyto(target, array)
    return flat.data, 0, target.strides
