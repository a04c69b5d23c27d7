"""Tensors of any library that speaks DLPack: their memory travels like an array's.

Rules of this file
- numpy reads them without a copy. Only memory of the CPU can be shared with another program.
- A torch tensor arrives as one. torch knows no read-only memory, so what it may write to is this program's alone: a
  page is copied when it is first written to. Any other tensor arrives as a numpy array.
- No library is imported by a name from the wire: the one that can be named stands here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tincans.contracts import Buffer
from tincans.core.arrays import array_over, array_payload, find_numpy
from tincans.core.values import Code, Lowering, Rebuilding, expect
from tincans.errors import MissingLibraryError

_CPU = 1
"""kDLCPU in dlpack.h."""

_TORCH = "torch"


def lower_tensor(value: Any, low: Lowering) -> Any:
    """Anything with `__dlpack__` and `__dlpack_device__`."""
    if low.hashing:
        low.refuse("a tensor cannot be a key or in a set. Send tensor.tolist() of it")
    if int(value.__dlpack_device__()[0]) != _CPU:
        low.refuse("it is on another device than the CPU, whose memory no other program can see. Send tensor.cpu()")
    try:
        array = find_numpy().from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        low.refuse(f"numpy cannot look at this tensor ({error}). Send it detached, in a type that numpy has")
    library = type(value).__module__.partition(".")[0]
    return low.wrap(Code.TENSOR, [_TORCH if library == _TORCH else "", *array_payload(array, low)])


def rebuild_tensor(payload: Any, up: Rebuilding) -> Any:
    library, spelled, shape, order, place = expect(payload, str, (str, list), list, (bool, list), object)
    data = up.data(place)
    if library != _TORCH:
        return array_over(data, spelled, shape, order)
    try:
        torch = import_module(_TORCH)
    except ImportError:
        raise MissingLibraryError(
            "The other program sent a torch tensor, and torch is not installed here. Run: pip install torch"
        ) from None
    return torch.from_numpy(array_over(_to_write_to(data), spelled, shape, order))


def look_at_tensor(payload: Any, up: Rebuilding) -> None:
    """Whether it could be one."""
    _library, spelled, shape, order, place = expect(payload, str, (str, list), list, (bool, list), object)
    up.met_gaps = up.met_gaps or type(order) is list
    array_over(up.data(place), spelled, shape, order)


def _to_write_to(data: Buffer) -> Buffer:
    """The same bytes as memory that this program may write to."""
    if isinstance(data, bytearray) or (isinstance(data, memoryview) and not data.readonly):
        return data
    private = getattr(data.obj, "private", None) if isinstance(data, memoryview) else None
    return bytearray(data) if private is None else private(data)
