"""Big data in memory that can be passed on without a copy: made there, or copied there once.

Rules of this file
- numpy is imported only for arrays; any other buffer becomes a memoryview.
- What `share` returns is read-only, for it may be in several programs at once; `writable=True` means that all who get
  it may write, and see what the others write.
- Where the system has no such memory these are ordinary arrays, and passing them on copies.
"""

from __future__ import annotations

import sys
from typing import Any

from tincans.core.arrays import find_numpy
from tincans.errors import UnsendableError
from tincans.toolkit import sealed_memory
from tincans.toolkit.array_places import lies_shared, room
from tincans.toolkit.memory_pool import POOL


def empty(shape: Any, dtype: Any = float, *, writable: bool = False) -> Any:
    """A numpy array, not filled, in memory that can be passed on: as an argument, to many subscribers, into queues and
    state, without a copy over a bare name, `shm:` and `unix:`.

    Write to it, then pass it on. It stays the same memory: what you write afterwards, those who hold it may see, so
    take another one for the next piece of data. Memory is used again when the last program has dropped the array.
    The others get it read-only; with `writable=True` all who get it may write to it, and see what the others write.

    `shape` is a whole number or several, `dtype` whatever numpy takes. FullError when the pool of this program
    (`?pool=`) or the machine's memory is used up; UnsendableError for an array of Python objects.

    >>> import tincans
    >>> picture = tincans.empty((1080, 1920, 3), "uint8")
    >>> picture[:] = 255
    >>> picture.shape, int(picture.sum())
    ((1080, 1920, 3), 1586304000)
    """
    import numpy

    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise UnsendableError("Python objects cannot be shared. Use a type of numbers, dates, text or records.")
    if not sealed_memory.available():
        return numpy.empty(shape, kind)
    size = _size(numpy, shape, kind)
    if not size:
        return numpy.empty(shape, kind)
    held = POOL.take(size, writable=writable)
    return numpy.ndarray(shape, kind, buffer=numpy.asarray(held)[:size])


def _size(numpy: Any, shape: Any, kind: Any) -> int:
    """Bytes; ValueError or TypeError in numpy's own words for a shape that is none."""
    stand_in = numpy.broadcast_to(numpy.empty((), kind), shape)
    return int(stand_in.size) * int(kind.itemsize)


def share(array: Any, *, writable: bool = False) -> Any:
    """Copy an array, a buffer or an Arrow table once into memory that can be passed on; passing the result on copies
    nothing more. See `empty`. What lies there already is not copied.

    >>> bytes(share(b"abc"))
    b'abc'
    """
    numpy, arrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and isinstance(array, numpy.ndarray):
        return _share_array(numpy, array, writable)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__") and not hasattr(array, "buffers"):
        library = find_numpy()
        return _share_array(library, library.from_dlpack(array), writable)
    if writable:
        raise UnsendableError(
            f"Only an array can be shared for writing, not {type(array).__name__}. Use tincans.empty."
        )
    if arrow is not None and isinstance(array, arrow.Table):
        return _share_table(arrow, array)
    try:
        return sealed_memory.share(array)
    except UnsendableError:
        raise
    except TypeError:
        raise UnsendableError(
            f"{type(array).__name__} is no array, buffer or Arrow table. Share what it is made of, such as"
            " frame.to_arrow() or pyarrow.Table.from_pandas(frame)."
        ) from None


def _share_array(numpy: Any, array: Any, writable: bool) -> Any:
    if array.size and not writable and lies_shared(array):
        shared = array.view()
    else:
        shared = empty(array.shape, array.dtype, writable=writable)
        numpy.copyto(shared, array)
    shared.flags.writeable = writable
    return shared


def _share_table(arrow: Any, table: Any) -> Any:
    from tincans.core.tables import KNOWN, written

    if KNOWN.find(table) is not None:
        return table
    stream = written(arrow, table, room)
    with arrow.ipc.open_stream(arrow.py_buffer(stream)) as reader:
        return KNOWN.add("table", reader.read_all(), stream)
