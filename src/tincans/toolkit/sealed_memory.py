"""Memory without a name that programs share by descriptor: made, sealed, checked, mapped read-only.

Rules of this file
- Sealed against shrinking and growing, so that nobody can make a reader die of SIGBUS; against writing as well, or at
  least against every writer but the mapping its maker already has (F_SEAL_FUTURE_WRITE, see memory_pool.py).
- A view that is handed out owns its mapping, and the mapping its descriptor: the memory lives exactly as long as
  somebody looks at it, and goes back to the kernel with the last program that holds it.
- Pages are taken by pwrite, which can fail with an error; through a mapping running out would be a signal.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import sys
from typing import Any, Final

from tincans.contracts import Buffer
from tincans.core.framing import flat
from tincans.errors import FullError, ProtocolError

# include/uapi/linux/fcntl.h; not all of them have names in every Python that we run on.
ADD_SEALS: Final = 1033
GET_SEALS: Final = 1034
SEAL_SEAL: Final = 0x01
SEAL_SHRINK: Final = 0x02
SEAL_GROW: Final = 0x04
SEAL_WRITE: Final = 0x08
SEAL_FUTURE_WRITE: Final = 0x10

FROZEN: Final = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE
"""Nobody can ever change it."""

_CHUNK = 1 << 30  # write(2) takes at most 2 GiB - 4 KiB
UNTRACKED: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}  # else mmap keeps a duplicate


def available() -> bool:
    """Whether this system has sealed memory (Linux has)."""
    return hasattr(os, "memfd_create")


class SealedMapping(mmap.mmap):
    """A read-only mapping of sealed memory. It owns `descriptor`, and begins at `start` within the memory."""

    descriptor: int = -1
    start: int = 0

    def __del__(self, _close: Any = os.close) -> None:
        if self.descriptor >= 0:
            _close(self.descriptor)


def make() -> int:
    """A descriptor of new, empty memory that can be sealed. FullError when the system has no more to give."""
    try:
        return os.memfd_create("tincans", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise _no_room(0, error) from error


def fill(descriptor: int, data: Buffer) -> None:
    """Write `data` (flat bytes) at the beginning. FullError when memory runs out."""
    view = memoryview(data)
    written = 0
    try:
        while written < len(view):
            written += os.pwrite(descriptor, view[written : written + _CHUNK], written)
    except OSError as error:
        raise _no_room(len(view), error) from error


def seal(descriptor: int, seals: int) -> None:
    """Add seals; they can never be taken off."""
    fcntl.fcntl(descriptor, ADD_SEALS, seals)


def frozen_copy(data: Buffer) -> int:
    """A descriptor of sealed memory with a copy of `data` that nobody can change, not even this program.

    >>> descriptor = frozen_copy(b"for ever")
    >>> view = attach(descriptor, offset=4, length=4, frozen=True)
    >>> bytes(view), view.readonly
    (b'ever', True)
    """
    descriptor = make()
    try:
        fill(descriptor, data)
        seal(descriptor, FROZEN)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def attach(descriptor: int, *, offset: int, length: int, frozen: bool) -> memoryview:
    """A read-only view of sealed memory; it takes over `descriptor`, also when it fails.

    ProtocolError when the memory is not sealed, or smaller than promised: then it could be pulled away under us.
    With `frozen` its maker must not be able to change it either.
    """
    try:
        _check(descriptor, offset + length, frozen)
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        mapping = SealedMapping(
            descriptor, offset - start + length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=start, **UNTRACKED
        )
    except (OSError, ValueError, OverflowError) as error:
        os.close(descriptor)
        if isinstance(error, ProtocolError):
            raise
        raise ProtocolError(
            f"Shared memory of {length} bytes cannot be mapped ({error}). If this program holds many shared arrays,"
            " drop some or raise its limits (ulimit -n, ulimit -v)."
        ) from error
    mapping.descriptor, mapping.start = descriptor, start
    return memoryview(mapping)[offset - start :]


def _check(descriptor: int, end: int, frozen: bool) -> None:
    status = os.fstat(descriptor)
    try:
        seals = fcntl.fcntl(descriptor, GET_SEALS) if stat.S_ISREG(status.st_mode) else 0
    except OSError:  # not a memfd
        seals = 0
    write_seals = SEAL_WRITE if frozen else SEAL_WRITE | SEAL_FUTURE_WRITE
    if not (seals & SEAL_SHRINK and seals & SEAL_GROW and seals & write_seals):
        raise ProtocolError("The other end passed memory that is not sealed; it was not used.")
    if status.st_size < end:
        raise ProtocolError(f"The other end passed {status.st_size} bytes of memory and promised {end}.")


def share(data: Buffer) -> memoryview:
    """A read-only view of shareable memory with a copy of `data`: passing it on, to many, copies nothing more.

    Where the system has no such memory it is an ordinary copy. UnsendableError for what is not contiguous.

    >>> view = share(b"news for everybody")
    >>> bytes(view[:4]), segment_of(view[5:8])[1:]
    (b'news', (5, 3))
    """
    from tincans.toolkit.memory_pool import POOL  # which stands on this file

    data = flat(data)
    if not available() or not len(data):
        return memoryview(bytes(data))
    return attach(POOL.lend(data), offset=0, length=len(data), frozen=False)


def is_frozen(descriptor: int) -> bool:
    """Whether nobody can change that memory, not even its maker."""
    return fcntl.fcntl(descriptor, GET_SEALS) & FROZEN == FROZEN


def segment_of(data: Any) -> tuple[int, int, int] | None:
    """Where `data` lies in sealed memory, as (descriptor, offset, length); None when it does not.

    The descriptor stays the mapping's: duplicate it to keep it. `data` may be a view, or an array over one.

    >>> view = attach(frozen_copy(b"0123456789"), offset=0, length=10, frozen=True)
    >>> descriptor, offset, length = segment_of(view[3:5])
    >>> offset, length
    (3, 2)
    """
    mapping = _mapping_under(data)
    if mapping is None:
        return None
    from tincans.toolkit.raw_buffer import extent

    with extent(data) as (address, length), extent(mapping) as (begin, size):
        if begin <= address and address + length <= begin + size:
            return mapping.descriptor, mapping.start + address - begin, length
    return None


def _mapping_under(data: Any) -> SealedMapping | None:
    """The mapping at the end of the chain of views and arrays."""
    for _ in range(8):
        if data is None or isinstance(data, SealedMapping):
            return data
        data = data.obj if isinstance(data, memoryview) else getattr(data, "base", None)
    return None


def _no_room(size: int, error: OSError) -> FullError:
    return FullError(
        f"Shared memory of {size} bytes cannot be had: {error.strerror}. Nothing was sent. Free memory or descriptors"
        " (ulimit -n), or send through the socket with ?descriptors=no."
    )
