"""Single values that a wire must mark: large whole numbers, odd texts, bytes, dates, decimals, paths, functions.

Rules of this file
- Each kind stands here twice, side by side: `lower_x(value, low)` and `rebuild_x(payload, up)`.
- A subclass of a built-in type travels as the built-in type (IntEnum as int, a str subclass as str).
- Libraries that are slow to import (fractions, pathlib, zoneinfo) are imported when first needed.
- A rebuild trusts nothing: it checks the payload's types, and whatever else it raises becomes a ValidationError.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import ValidationError

from tincans.core.values import Code, Lowering, Rebuilding, elements, expect

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import PurePath

LONGEST_FRACTION = 32 * 1024
"""Bits of a numerator or denominator: reducing larger ones would let a stranger use up our processor."""


def lower_plain(value: Any, low: Lowering) -> Any:
    """None, True and False in a careful walk."""
    return value


def lower_int(value: int, low: Lowering) -> Any:
    whole = int.__pos__(value)
    if whole in low.form.ints:
        return whole
    return low.wrap(Code.INT, whole.to_bytes(whole.bit_length() // 8 + 1, "big", signed=True))


def rebuild_int(payload: Any, up: Rebuilding) -> int:
    return int.from_bytes(up.data(payload), "big", signed=True)


def lower_float(value: float, low: Lowering) -> Any:
    number = float.__pos__(value)
    if isfinite(number) or not low.form.finite:
        return number
    return low.wrap(Code.FLOAT, repr(number))


def rebuild_float(payload: Any, up: Rebuilding) -> float:
    return float(elements(payload, str))


def lower_complex(value: complex, low: Lowering) -> Any:
    return low.wrap(Code.COMPLEX, [lower_float(value.real, low), lower_float(value.imag, low)])


def rebuild_complex(payload: Any, up: Rebuilding) -> complex:
    real, imaginary = expect(payload, (int, float), (int, float))
    return complex(real, imaginary)


def lower_text(value: str, low: Lowering) -> Any:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: what os.fsdecode makes of an odd file name
        return low.wrap(Code.TEXT, text.encode("utf-8", "surrogatepass"))
    return text


def rebuild_text(payload: Any, up: Rebuilding) -> str:
    return str(up.data(payload), "utf-8", "surrogatepass")


def lower_bytes(value: bytes, low: Lowering) -> Any:
    payload = low.data(memoryview(value))
    if low.form.parts and type(payload) is bytes:
        return payload
    return low.wrap(Code.BYTES, payload)


def rebuild_bytes(payload: Any, up: Rebuilding) -> bytes:
    data = up.data(payload)
    return data if type(data) is bytes else bytes(data)


def lower_bytearray(value: bytearray, low: Lowering) -> Any:
    return low.wrap(Code.BYTEARRAY, low.data(memoryview(value)))


def rebuild_bytearray(payload: Any, up: Rebuilding) -> bytearray:
    return bytearray(up.data(payload))


def zone_name(zone: tzinfo | None) -> str | None:
    """The key of a zoneinfo.ZoneInfo ("Europe/Berlin"), None for any other zone."""
    key = getattr(zone, "key", None)
    return key if type(key) is str else None


def find_zone(name: Any) -> tzinfo | None:
    """The zone of this name, None when this machine has none. The library refuses names that are paths."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(elements(name, str))
    except (KeyError, ValueError, OSError):  # unknown, not a proper name, or a folder of zones
        return None


def lower_datetime(value: datetime, low: Lowering) -> Any:
    if getattr(value, "nanosecond", 0) or value != value:  # pandas: finer than a datetime, or "not a time"
        low.refuse("it has no exact equal among datetimes. Send value.isoformat(), or an array of datetime64")
    moment = value.isoformat()
    zone = zone_name(value.tzinfo)
    if zone is None and not (value.fold and value.tzinfo is None):
        return low.wrap(Code.DATETIME, moment)
    return low.wrap(Code.DATETIME, [moment, zone, value.fold])


def rebuild_datetime(payload: Any, up: Rebuilding) -> datetime:
    if type(payload) is str:
        return datetime.fromisoformat(payload)
    text, name, fold = expect(payload, str, (str, type(None)), int)
    moment = datetime.fromisoformat(text)
    if name is None:
        return moment.replace(fold=fold)
    zone = find_zone(name)
    if zone is None:
        return moment
    local = moment.replace(tzinfo=zone, fold=fold)
    return local if local.utcoffset() == moment.utcoffset() else moment.astimezone(zone)


def lower_date(value: date, low: Lowering) -> Any:
    return low.wrap(Code.DATE, value.isoformat())


def rebuild_date(payload: Any, up: Rebuilding) -> date:
    return date.fromisoformat(payload)


def lower_time(value: time, low: Lowering) -> Any:
    moment = value.isoformat()
    zone = zone_name(value.tzinfo)
    if value.tzinfo is not None and zone is None and value.utcoffset() is None:
        low.refuse("its time zone has no fixed offset and no name. Send the text and the zone apart")
    return low.wrap(Code.TIME, [moment, zone, value.fold] if zone or value.fold else moment)


def rebuild_time(payload: Any, up: Rebuilding) -> time:
    if type(payload) is str:
        return time.fromisoformat(payload)
    text, name, fold = expect(payload, str, (str, type(None)), int)
    moment = time.fromisoformat(text).replace(fold=fold)
    return moment if name is None else moment.replace(tzinfo=find_zone(name) or moment.tzinfo)


def lower_timedelta(value: timedelta, low: Lowering) -> Any:
    if getattr(value, "nanoseconds", 0) or value != value:
        low.refuse("it has no exact equal among timedeltas. Send value.isoformat(), or an array of timedelta64")
    return low.wrap(Code.TIMEDELTA, [value.days, value.seconds, value.microseconds])


def rebuild_timedelta(payload: Any, up: Rebuilding) -> timedelta:
    days, seconds, microseconds = expect(payload, int, int, int)
    return timedelta(days, seconds, microseconds)


def lower_decimal(value: Decimal, low: Lowering) -> Any:
    return low.wrap(Code.DECIMAL, str(value))


def rebuild_decimal(payload: Any, up: Rebuilding) -> Decimal:
    return Decimal(elements(payload, str))


def lower_fraction(value: Fraction, low: Lowering) -> Any:
    top, bottom = value.numerator, value.denominator
    if max(top.bit_length(), bottom.bit_length()) > LONGEST_FRACTION:
        low.refuse(f"its numbers have more than {LONGEST_FRACTION} bits. Send numerator and denominator as a tuple")
    return low.wrap(Code.FRACTION, [_any_int(top, low), _any_int(bottom, low)])


def rebuild_fraction(payload: Any, up: Rebuilding) -> Fraction:
    from fractions import Fraction

    top, bottom = expect(payload, int, int)
    if max(top.bit_length(), bottom.bit_length()) > LONGEST_FRACTION:
        raise ValidationError(f"A fraction with more than {LONGEST_FRACTION} bits is refused.")
    return Fraction(top, bottom)


def _any_int(value: int, low: Lowering) -> Any:
    return lower_int(value, low)


def lower_uuid(value: UUID, low: Lowering) -> Any:
    return low.wrap(Code.UUID, str(value))


def rebuild_uuid(payload: Any, up: Rebuilding) -> UUID:
    return UUID(elements(payload, str))


def lower_path(value: PurePath, low: Lowering) -> Any:
    from pathlib import Path, PureWindowsPath

    text = lower_text(str(value), low)
    if isinstance(value, Path):
        return low.wrap(Code.PATH, text)
    return low.wrap(Code.PATH, [text, "windows" if isinstance(value, PureWindowsPath) else "posix"])


def rebuild_path(payload: Any, up: Rebuilding) -> PurePath:
    from pathlib import Path, PurePosixPath, PureWindowsPath

    if type(payload) is str:
        return Path(payload)
    text, flavour = expect(payload, str, str)
    return PureWindowsPath(text) if flavour == "windows" else PurePosixPath(text)


def lower_range(value: range, low: Lowering) -> Any:
    return low.wrap(Code.RANGE, [_any_int(n, low) for n in (value.start, value.stop, value.step)])


def rebuild_range(payload: Any, up: Rebuilding) -> range:
    return range(*expect(payload, int, int, int))


def lower_slice(value: slice, low: Lowering) -> Any:
    return low.wrap(Code.SLICE, low.each([value.start, value.stop, value.step]))


def rebuild_slice(payload: Any, up: Rebuilding) -> slice:
    return slice(*expect(payload, object, object, object))


def lower_function(value: Any, low: Lowering) -> Any:
    if low.references is None:
        low.refuse("a function cannot travel here, only be called back over a two-way string")
    return low.wrap(Code.FUNCTION, low.references.export_function(value))


def rebuild_function(payload: Any, up: Rebuilding) -> Any:
    if up.references is None:
        raise ValidationError("The value refers to a function, and none can be called back here.")
    key = (Code.FUNCTION.value, elements(payload, int))
    if key not in up.imports:
        up.imports[key] = up.references.import_function(payload)
    return up.imports[key]


def lower_stream(value: Any, low: Lowering) -> Any:
    if low.references is None:
        low.refuse("a stream cannot travel here. Send list(...) of it")
    return low.wrap(Code.STREAM, low.references.export_stream(value))


def rebuild_stream(payload: Any, up: Rebuilding) -> Any:
    if up.references is None:
        raise ValidationError("The value refers to a stream, and none can travel here.")
    key = (Code.STREAM.value, elements(payload, int))
    if key not in up.imports:
        up.imports[key] = up.references.import_stream(payload)
    return up.imports[key]
