"""Memory without a name that programs share by descriptor: made, sealed, checked, mapped read-only.

Rules of this file
- Sealed against shrinking and growing, so that nobody can make a reader die of SIGBUS; against writing as well, or at
  least against every writer but the mapping its maker already has (F_SEAL_FUTURE_WRITE, see memory_pool.py).
- A view that is handed out owns its mapping, and the mapping its descriptor: the memory lives exactly as long as
  somebody looks at it, and goes back to the kernel with the last program that holds it.
- Pages are taken by pwrite or madvise, which can fail with an error; by a plain write running out would be a signal.
- What comes from others has its pages already: a mapping of holes would take our memory when it is looked at.
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
from tincans.toolkit.live_memory import LIVE, finder, segment_of

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

OPEN: Final = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW
"""Whoever gets it may write to it, and nobody can pull it away."""

_READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
_CHUNK = 1 << 30  # write(2) takes at most 2 GiB - 4 KiB
UNTRACKED: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}  # else mmap keeps a duplicate


def available() -> bool:
    """Whether this system has sealed memory (Linux has)."""
    return hasattr(os, "memfd_create")


class SealedMapping(mmap.mmap):
    """A mapping of sealed memory. It owns `descriptor`, and begins at `start` within the memory."""

    descriptor: int = -1
    start: int = 0
    address: int = 0
    length: int = 0
    writable: bool = False

    def own(self, descriptor: int, start: int, *, writable: bool) -> None:
        """Take over the descriptor, and be found from now on (live_memory.py)."""
        self.descriptor, self.start, self.writable = descriptor, start, writable
        self.address, self.length = finder()(self)
        LIVE.add(self)

    def bytes_of(self, begin: int, end: int) -> memoryview:
        """Some of it."""
        return memoryview(self)[begin:end]

    def private(self, view: memoryview) -> memoryview:
        """The same bytes as `view`, which is of this mapping, to be written to by this program alone: a page is copied
        when it is first written to. For libraries that know no read-only memory."""
        address, length = finder()(view)
        begin = address - self.address
        mapping = mmap.mmap(
            self.descriptor, begin + length, flags=mmap.MAP_PRIVATE, prot=_READ_WRITE, offset=self.start, **UNTRACKED
        )
        return memoryview(mapping)[begin:]

    def __del__(self, _close: Any = os.close, _remove: Any = LIVE.remove) -> None:
        if self.descriptor >= 0:
            _remove(self)
            _close(self.descriptor)


def make() -> int:
    """A descriptor of new, empty memory that can be sealed. FullError when the system has no more to give."""
    try:
        return os.memfd_create("tincans", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise no_room(0, error) from error


def fill(descriptor: int, data: Buffer) -> None:
    """Write `data` (flat bytes) at the beginning. FullError when memory runs out."""
    view = memoryview(data)
    written = 0
    try:
        while written < len(view):
            written += os.pwrite(descriptor, view[written : written + _CHUNK], written)
    except OSError as error:
        raise no_room(len(view), error) from error


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
    """A view of sealed memory; it takes over `descriptor`, also when it fails. Read-only, unless the memory was made to
    be written to by several programs (then the descriptor is open for writing, and no seal forbids it).

    ProtocolError when the memory is not sealed, or smaller than promised: then it could be pulled away under us.
    With `frozen` its maker must not be able to change it either.
    """
    try:
        writable = _check(descriptor, offset + length, frozen)
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        mapping = SealedMapping(
            descriptor,
            offset - start + length,
            flags=mmap.MAP_SHARED,
            prot=_READ_WRITE if writable else mmap.PROT_READ,
            offset=start,
            **UNTRACKED,
        )
    except (OSError, ValueError, OverflowError) as error:
        os.close(descriptor)
        if isinstance(error, ProtocolError):
            raise
        raise ProtocolError(
            f"Shared memory of {length} bytes cannot be mapped ({error}). If this program holds many shared arrays,"
            " drop some or raise its limits (ulimit -n, ulimit -v)."
        ) from error
    mapping.own(descriptor, start, writable=writable)
    return memoryview(mapping)[offset - start :]


def _check(descriptor: int, end: int, frozen: bool) -> bool:
    """Whether it may be written to by all; ProtocolError for what must not be mapped."""
    status = os.fstat(descriptor)
    try:
        seals = fcntl.fcntl(descriptor, GET_SEALS) if stat.S_ISREG(status.st_mode) else 0
    except OSError:  # not a memfd
        seals = 0
    sealed = seals & SEAL_WRITE if frozen else seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)
    open_to_all = not sealed and not frozen and bool(seals & SEAL_SEAL) and _may_write(descriptor)
    if not (seals & SEAL_SHRINK and seals & SEAL_GROW and (sealed or open_to_all)):
        raise ProtocolError("The other end passed memory that is not sealed; it was not used.")
    if status.st_size < end:
        raise ProtocolError(f"The other end passed {status.st_size} bytes of memory and promised {end}.")
    if status.st_blocks * 512 < status.st_size:
        raise ProtocolError("The other end passed memory with holes in it; it was not used.")
    return open_to_all


def _may_write(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


def share(data: Buffer) -> memoryview:
    """A read-only view of shareable memory with a copy of `data`: passing it on, to many, copies nothing more.

    Where the system has no such memory it is an ordinary copy. What lies in such memory already is not copied.
    UnsendableError for what is not contiguous.

    >>> from tincans.toolkit.live_memory import segment_of
    >>> view = share(b"news for everybody")
    >>> bytes(view[:4]), segment_of(view[5:8])[1:]
    (b'news', (5, 3))
    """
    from tincans.toolkit.memory_pool import POOL  # which stands on this file

    data = flat(data)
    if not available() or not len(data):
        return memoryview(bytes(data))
    if segment_of(data) is not None:
        return memoryview(data).toreadonly()
    descriptor = POOL.lend(data)
    return attach(frozen_copy(data) if descriptor is None else descriptor, offset=0, length=len(data), frozen=False)


def is_frozen(descriptor: int) -> bool:
    """Whether nobody can change that memory, not even its maker."""
    return fcntl.fcntl(descriptor, GET_SEALS) & FROZEN == FROZEN


def no_room(size: int, error: OSError) -> FullError:
    return FullError(
        f"Shared memory of {size} bytes cannot be had: {error.strerror}. Nothing was sent. Free memory or descriptors"
        " (ulimit -n), or send through the socket with ?descriptors=no."
    )
