"""Memory: buffers (as memoryview) and numpy arrays and scalars, without a copy where the memory allows.

Rules of this file
- numpy is never imported to send: an array can only come from a program that has it. It is imported to rebuild one.
- A received array or view looks straight into the message's part, so it may be read-only: copy it to write.
- The type of an array is spelled by ourselves and checked letter by letter; nothing that holds Python objects
  or pointers is sent or accepted, and the size is checked before anything is made of the bytes.
- Fortran order is kept. Memory with gaps is copied once, at the sender, unless it travels as memory: then it is sent
  with its gaps and strides (only where the link's references know a `place` for it).
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from math import prod
from struct import calcsize
from typing import TYPE_CHECKING, Any

from msgspec import ValidationError

from tincans.contracts import Buffer
from tincans.core.values import Code, Lowering, Rebuilding, elements, expect
from tincans.errors import MissingLibraryError

if TYPE_CHECKING:
    import numpy

_VIEW_FORMATS = frozenset("cbB?hHiIlLqQnNefd")
_DTYPE = re.compile(r"[<>|=]?[biufcSUVmM][1-9][0-9]{0,8}(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")
_MOST_DIMENSIONS = 64
_MOST_FIELDS = 1_000


def lower_buffer(value: Any, low: Lowering) -> Any:
    """Anything with the buffer protocol; its shape and number format are kept when they are simple."""
    if low.hashing:
        low.refuse("memory cannot be a key or in a set. Send bytes(...) of it")
    view = memoryview(value)
    contiguous = view if view.c_contiguous else memoryview(view.tobytes())
    form = view.format if view.format in _VIEW_FORMATS else "B"
    shape = list(view.shape or ()) if form == view.format else [view.nbytes]
    data = contiguous.cast("B") if view.nbytes else b""
    return low.wrap(Code.BUFFER, [form, shape, low.data(data)])


def rebuild_buffer(payload: Any, up: Rebuilding) -> memoryview:
    form, shape, place = expect(payload, str, list, object)
    data = up.data(place)
    if form not in _VIEW_FORMATS:
        raise ValidationError(f"A buffer of the unknown format {form!r} is refused.")
    _check_size(shape, calcsize(form), data)
    view = memoryview(data).cast("B")
    if len(view) == 0:
        return view.cast(form) if len(shape) == 1 else view
    return view.cast(form, shape)


def lower_array(value: numpy.ndarray[Any, Any], low: Lowering) -> Any:
    """A numpy array; its memory goes along without a copy when it has no gaps."""
    if hasattr(value, "mask"):
        low.refuse("a masked array would lose its mask. Send array.data and array.mask")
    return low.wrap(Code.ARRAY, array_payload(value, low))


def array_payload(value: numpy.ndarray[Any, Any], low: Lowering) -> list[Any]:
    """Type, shape, memory order and bytes. The order is whether it is Fortran's, or [offset, *strides] in bytes."""
    spelled = _spelled(value.dtype, low)
    flags = value.flags
    if low.form.parts and not (flags.owndata and flags.c_contiguous):
        place = getattr(low.references, "place", None)
        found = place(value) if place is not None else None
        if found is not None:
            view, offset, strides = found
            return [spelled, list(value.shape), [offset, *strides], low.part(view)]
    whole = value if flags.c_contiguous or flags.f_contiguous else value.copy(order="C")
    fortran = not whole.flags.c_contiguous
    return [spelled, list(value.shape), fortran, low.data(_bytes_of(whole))]


def _bytes_of(array: numpy.ndarray[Any, Any]) -> Buffer:
    if array.size == 0:
        return b""
    straight = array.T if not array.flags.c_contiguous else array
    plain = straight.view(type=sys.modules["numpy"].ndarray).reshape(-1)
    return memoryview(plain.view("u1"))


def rebuild_array(payload: Any, up: Rebuilding) -> numpy.ndarray[Any, Any]:
    spelled, shape, order, place = expect(payload, (str, list), list, (bool, list), object)
    up.met_gaps = up.met_gaps or type(order) is list
    return array_over(up.data(place), spelled, shape, order)


def array_over(data: Buffer, spelled: Any, shape: list[Any], order: Any) -> numpy.ndarray[Any, Any]:
    """An array that looks at these bytes; ValidationError when they are not what is said of them."""
    numpy = find_numpy()
    dtype = _dtype(numpy, spelled)
    if type(order) is list:
        return _with_gaps(numpy, data, dtype, shape, order)  # type: ignore[no-any-return]
    count = _check_size(shape, dtype.itemsize, data)
    letter = "F" if order else "C"
    if count == 0:
        return numpy.empty(shape, dtype, letter)  # type: ignore[no-any-return]
    return numpy.frombuffer(data, dtype).reshape(shape, order=letter)  # type: ignore[no-any-return]


def plain_array(spelled: str, shape: tuple[int, ...], data: bytes | memoryview) -> numpy.ndarray[Any, Any]:
    """The same in fewer steps, for what the C core has taken out of a plain message (_speed/plain_array.c).

    >>> plain_array("<i2", (2, 1), bytes(4)).tolist()
    [[0], [0]]
    """
    numpy = find_numpy()
    dtype = _simple_dtype(numpy, spelled)
    count = shape[0] if len(shape) == 1 else prod(shape)
    if count * dtype.itemsize != len(data):
        raise ValidationError(f"An array of {count} elements of {dtype.itemsize} bytes cannot have {len(data)} bytes.")
    return numpy.ndarray(shape, dtype, data or None)  # type: ignore[no-any-return]


def _with_gaps(numpy: Any, data: Buffer, dtype: Any, shape: list[Any], order: list[Any]) -> Any:
    """The bytes must hold all elements side by side at least: elements that are repeated by a stride of 0 could be more
    than any memory. Whether offset and strides stay inside, numpy checks."""
    if len(order) != len(shape) + 1 or not all(type(n) is int and abs(n) < 2**62 for n in order) or order[0] < 0:
        raise ValidationError("An array has impossible strides.")
    _check_size(shape, dtype.itemsize, data, gaps=True)
    return numpy.ndarray(shape, dtype, buffer=data, offset=order[0], strides=order[1:])


def lower_scalar(value: numpy.generic, low: Lowering) -> Any:
    """One numpy number, date or record."""
    return low.wrap(Code.SCALAR, [_spelled(value.dtype, low), value.tobytes()])


def lower_numpy_text(value: Any, low: Lowering) -> Any:
    """numpy's own str: its bytes would lose trailing zeros."""
    return low.wrap(Code.SCALAR, ["U", low.lower(str.__str__(value))])


def lower_numpy_bytes(value: Any, low: Lowering) -> Any:
    """numpy's own bytes, likewise."""
    return low.wrap(Code.SCALAR, ["S", bytes(memoryview(value))])


def rebuild_scalar(payload: Any, up: Rebuilding) -> Any:
    numpy = find_numpy()
    spelled, place = expect(payload, (str, list), object)
    if spelled == "U":
        scalar = numpy.str_(elements(place, str))
    elif spelled == "S":
        scalar = numpy.bytes_(up.data(place))
    else:
        dtype = _dtype(numpy, spelled)
        data = up.data(place)
        _check_size([], dtype.itemsize, data)
        scalar = numpy.frombuffer(data, dtype)[0]
    up.met_scalar = True
    return scalar.item() if up.python_scalars else scalar


def find_numpy() -> Any:
    """The numpy module; MissingLibraryError when there is none."""
    try:
        import numpy
    except ImportError:
        raise MissingLibraryError(
            "The other program sent a numpy array, and numpy is not installed here. Run: pip install numpy"
        ) from None
    return numpy


def _check_size(shape: list[Any], item: int, data: Buffer, *, gaps: bool = False) -> int:
    """How many elements; ValidationError when shape and bytes disagree. Python's whole numbers cannot overflow."""
    if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise ValidationError("An array has an impossible shape.")
    count: int = prod(shape)
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if count * item > size or (count * item != size and not gaps):
        raise ValidationError(f"An array of {count} elements of {item} bytes cannot have {size} bytes.")
    return count


def _spelled(dtype: numpy.dtype[Any], low: Lowering) -> Any:
    spelled = _spell(dtype)
    if isinstance(spelled, tuple):
        low.refuse(spelled[0])
    return spelled


@lru_cache(maxsize=256)
def _spell(dtype: numpy.dtype[Any]) -> Any:
    """A dtype as text, as [names, formats, offsets, size] or as [base, shape]; a tuple with the reason when not."""
    if dtype.hasobject:
        return ("an array of Python objects cannot travel. Send array.tolist(), or an array of numbers or text",)
    if dtype.subdtype is not None:
        base = _spell(dtype.subdtype[0])
        return base if isinstance(base, tuple) else [base, list(dtype.subdtype[1])]
    if dtype.fields is not None:
        return _spell_record(dtype)
    text = dtype.str
    if not _DTYPE.fullmatch(text) or sys.modules["numpy"].dtype(text) != dtype:
        return (f"the array type {dtype} cannot travel. Send it as an array of plain numbers, with .astype(...)",)
    return text


def _spell_record(dtype: numpy.dtype[Any]) -> Any:
    names = list(dtype.names or ())
    fields = [dtype.fields[name] for name in names] if dtype.fields else []
    if not names or any(len(field) > 2 for field in fields):
        return (f"the array type {dtype} has titles, or no fields at all. Send it with plain fields",)
    formats = [_spell(field[0]) for field in fields]
    refused = next((spelled for spelled in formats if isinstance(spelled, tuple)), None)
    return refused or [names, formats, [field[1] for field in fields], dtype.itemsize]


def _dtype(numpy: Any, spelled: Any) -> Any:
    """The dtype of a spelling from a wire; ValidationError for anything but numbers, dates, text and records."""
    if type(spelled) is str:
        return _simple_dtype(numpy, spelled)
    if type(spelled) is list and len(spelled) == 2:
        base, shape = spelled
        if type(shape) is not list or not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise ValidationError("An array has a field of an impossible shape.")
        return numpy.dtype((_dtype(numpy, base), tuple(shape)))
    names, formats, offsets, size = expect(spelled, list, list, list, int)
    if not 0 < len(names) <= _MOST_FIELDS or size < 1:
        raise ValidationError("An array has records of an impossible kind.")
    parts = [_dtype(numpy, form) for form in formats]
    return numpy.dtype({"names": names, "formats": parts, "offsets": offsets, "itemsize": size})


@lru_cache(maxsize=256)
def _simple_dtype(numpy: Any, spelled: str) -> Any:
    if not _DTYPE.fullmatch(spelled):
        raise ValidationError(f"An array of the type {spelled[:40]!r} is refused.")
    return numpy.dtype(spelled)
