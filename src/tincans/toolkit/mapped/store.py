"""Named values in one file of fixed size that programs share through its pages: a log in one half, at the end a header.

Rules of this file
- The pages are read and written by pread and pwrite, never through a mapping of ours: they are the same pages, but a
  mapped file that somebody truncates kills its readers (SIGBUS), and pread then only gives less.
- A record is appended beyond the tail, then a header names the new tail: readers need no lock, and a writer that is
  killed in between has changed nothing. Writers take turns by a kernel lock that ends with its holder.
- When a half is full the living values are copied into the other one, and the header's epoch grows. What was read is
  good when the epoch is still the same afterwards.
- There are two headers, written in turn, each with a checksum, and each record has one. So what is accepted is right
  whatever the order in which a processor shows another one's writes.
- The header stands at the very end: whoever cuts the file off cuts it off, and every later look sees that.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from tincans.errors import FullError, KeepError
from tincans.toolkit.files.file_lock import LockedFile
from tincans.toolkit.files.file_trouble import trouble
from tincans.toolkit.files.private_file import open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

PAGE = 4096
SMALLEST = 4 * PAGE
HEADERS = 128
"""Bytes at the end of the file: two headers, the second where the first one's half ends."""

_MAGIC = b"TINCANm1"
_HEADER = struct.Struct("<8sQQQ8sI")  # magic, generation, epoch, tail, wire, checksum
_RECORD = struct.Struct("<IIIQB3x")  # checksum, length of key and value, version, whether it has a value
_PATIENCE = 1.0
"""Seconds in which what does not fit together is looked at again: a writer may be in the middle of it."""

_MOST_CHANGES = 2**62

Held = tuple[int, bytes]  # version, value


class Header(NamedTuple):
    """Where the values stand: the half is the epoch's parity, and they end at `tail`."""

    generation: int
    epoch: int
    tail: int


class MappedStore:
    """The open file. Any thread may use it; `size` is in bytes and counts when the file is made.

    KeepError when it is not ours, was cut off or is damaged; DeniedError for what was planted at `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     store = MappedStore(Path(place, "board"), size=65536, wire="native")
    ...     store.set("mood", b"good", timeout=1)
    ...     print(store.get("mood"), store.keys())
    ...     store.close()
    (1, b'good') ['mood']
    """

    def __init__(self, path: Path, *, size: int, wire: str) -> None:
        self.path = path
        self._wire = wire.encode()
        self._file = LockedFile(path, open_private(path, create=True))
        self._refreshing = threading.Lock()
        self._seen: tuple[bytes, Header, dict[str, Held]] = b"", Header(0, -1, 0), {}
        try:
            self.size = os.fstat(self._file.fd).st_size
            if self.size < SMALLEST or self._headers()[1] is None:
                self._begin(size)
            self._half = (self.size - PAGE) // 2
            self._index()
        except BaseException:
            self._file.abandon()
            raise
        abandon_in_child(self)

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, key: str) -> Held | None:
        """Version and value, None when it has none."""
        raw, _, index = self._seen
        try:
            if os.pread(self._file.fd, HEADERS, self.size - HEADERS) == raw:
                return index.get(key)
        except OSError:
            pass  # closed: told below
        return self._index().get(key)

    def keys(self) -> list[str]:
        """All keys that have a value, sorted."""
        return sorted(self._index())

    def _index(self) -> dict[str, Held]:
        """All values as they are now."""
        deadline = time.monotonic() + _PATIENCE
        with self._refreshing:
            while True:
                raw, header = self._headers()
                if raw == self._seen[0]:
                    return self._seen[2]
                index = None if header is None else self._refreshed(header)
                if header is not None and index is not None:
                    self._seen = raw, header, index
                    return index
                if time.monotonic() > deadline:
                    raise self._damaged("what stands in it does not fit together")
                time.sleep(0.0001)

    def _headers(self) -> tuple[bytes, Header | None]:
        raw = os.pread(self._file.descriptor, HEADERS, self.size - HEADERS)
        if len(raw) < HEADERS:
            raise self._damaged(f"another program cut it off; it had {self.size:,} bytes")
        found = [header for at in (0, HEADERS // 2) if (header := self._header(raw, at)) is not None]
        return raw, max(found, default=None)

    def _header(self, raw: bytes, at: int) -> Header | None:
        magic, generation, epoch, tail, wire, checksum = _HEADER.unpack_from(raw, at)
        if magic != _MAGIC or checksum != crc32(raw[at : at + _HEADER.size - 4]):
            return None
        if wire.rstrip(b"\0") != self._wire:
            name = wire.rstrip(b"\0").decode("ascii", "replace")
            raise KeepError(f"{self.path} holds values of the wire {name!r}. Say {name}+mmap:..., or another file.")
        if tail > self.size // 2 or max(generation, epoch) > _MOST_CHANGES:
            return None  # a forgery: the checksum is right, but no program of ours ends there
        return Header(generation, epoch, tail)

    def _refreshed(self, header: Header) -> dict[str, Held] | None:
        """The values up to `header`, from what is known of the same epoch on; None when it was overtaken."""
        _, known, index = self._seen
        if header.epoch != known.epoch or header.tail < known.tail:
            known, index = Header(0, header.epoch, 0), {}
        start = header.epoch % 2 * self._half
        data = os.pread(self._file.fd, header.tail - known.tail, start + known.tail)
        after = self._headers()[1]
        if after is None or after.epoch != header.epoch or len(data) != header.tail - known.tail:
            return None
        return _applied(data, index)

    # -- writing -----------------------------------------------------------------------------------------------

    def set(self, key: str, value: bytes, *, timeout: float | None) -> None:
        """Write it. FullError when the file is too small for all that is in it, and nothing was changed then."""
        with self._writing(timeout) as (header, index):
            self._append(header, index, key, value)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """Take it away; False when there was none."""
        with self._writing(timeout) as (header, index):
            if key not in index:
                return False
            self._append(header, index, key, None)
            return True

    @contextmanager
    def _writing(self, timeout: float | None) -> Iterator[tuple[Header, dict[str, Held]]]:
        with self._file.locked(timeout=timeout):
            if not same_file(self.path, self._file.fd):
                raise KeepError(f"{self.path} was removed or exchanged while it was in use. Open it again.")
            index = self._index()
            yield self._seen[1], index

    def _append(self, header: Header, index: dict[str, Held], key: str, value: bytes | None) -> None:
        generation = header.generation + 1
        record = _record(key, generation, value)
        if header.tail + len(record) <= self._half:
            self._write(record, header.epoch % 2 * self._half + header.tail)
            header = Header(generation, header.epoch, header.tail + len(record))
        else:
            living = {name: held for name, held in index.items() if name != key}
            records = b"".join(_record(name, *held) for name, held in living.items())
            records += record if value is not None else b""
            self._check_room(len(records))
            self._write(records, (header.epoch + 1) % 2 * self._half)
            header = Header(generation, header.epoch + 1, len(records))
        self._write_header(header)

    def _check_room(self, needed: int) -> None:
        if needed > self._half:
            raise FullError(
                f"{self.path} has {self.size:,} bytes, of which values can take {self._half:,}; with this one they"
                f" would take {needed:,}. Nothing was changed. Make a new file with ?size= larger, or delete values."
            )

    def _write_header(self, header: Header) -> None:
        body = _HEADER.pack(_MAGIC, *header, self._wire, 0)[:-4]
        body += struct.pack("<I", crc32(body))
        self._write(body, self.size - HEADERS + header.generation % 2 * (HEADERS // 2))

    def _write(self, data: bytes, at: int) -> None:
        try:
            while data:
                written = os.pwrite(self._file.fd, data, at)
                data, at = data[written:], at + written
        except OSError as error:
            raise trouble(self.path, error) from error

    # -- the file ----------------------------------------------------------------------------------------------

    def _begin(self, size: int) -> None:
        """Lay out a file that is new. What another program keeps there is never touched."""
        with self._file.locked(timeout=_PATIENCE):
            self.size = os.fstat(self._file.fd).st_size
            if self._is_blank():
                self._lay_out(size)
            elif self.size < SMALLEST or self._headers()[1] is None:
                raise self._damaged("it holds something else, or was cut off")

    def _is_blank(self) -> bool:
        """Whether nobody has written to it yet, for it is new, or its maker was killed before he did."""
        chunks = (os.pread(self._file.fd, 1 << 16, at) for at in range(0, self.size, 1 << 16))
        return not any(any(chunk) for chunk in chunks)

    def _lay_out(self, size: int) -> None:
        """A new file: its space is set aside, so that no later write can find the disk full."""
        self.size = max(SMALLEST, (size + PAGE - 1) // PAGE * PAGE)
        try:
            os.ftruncate(self._file.fd, 0)
            os.posix_fallocate(self._file.fd, 0, self.size)
        except OSError as error:
            os.ftruncate(self._file.fd, 0)
            raise trouble(self.path, error) from error
        self._write_header(Header(0, 0, 0))

    def _damaged(self, what: str) -> KeepError:
        return KeepError(
            f"{self.path} cannot be used: {what}. It was not touched. If it is not another program's, remove it and"
            " let the programs that use it begin anew."
        )

    def close(self) -> None:
        """Let go of the file; its values stay. May be called twice."""
        with self._file.guard, self._refreshing:  # in the order of those who write
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptor only (see fork_guard)."""
        self._file.abandon()


def _record(key: str, version: int, value: bytes | None) -> bytes:
    name, data = key.encode(), value or b""
    body = _RECORD.pack(0, len(name), len(data), version, value is not None)[4:] + name + data
    return struct.pack("<I", crc32(body)) + body + bytes(-(len(body) + 4) % 8)


def _applied(data: bytes, index: dict[str, Held]) -> dict[str, Held] | None:
    """The values after all records in `data`; None when one of them is not whole."""
    index, at = dict(index), 0
    while at < len(data):
        if at + _RECORD.size > len(data):
            return None
        checksum, names, values, version, has_value = _RECORD.unpack_from(data, at)
        start, end = at + _RECORD.size, at + _RECORD.size + names + values
        if end > len(data) or checksum != crc32(data[at + 4 : end]):
            return None
        try:
            key = data[start : start + names].decode()
        except UnicodeDecodeError:
            return None
        if has_value:
            index[key] = version, data[start + names : end]
        else:
            index.pop(key, None)
        at = end + -(end) % 8
    return index
