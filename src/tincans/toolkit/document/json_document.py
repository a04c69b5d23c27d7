"""A JSON file that programs share: read by anybody at any time, changed under a lock, replaced as a whole.

Rules of this file
- A change is: lock PATH.lock (flock, as `flock` and filelock do), read, change, write PATH.new, fsync, rename, fsync
  the directory. So whoever reads sees the old file or the new one, and a kill at any moment leaves one of the two.
- What is not a JSON object is never written to, and neither is what was planted at a name that we would make.
- What this program does not know in the file stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    KeepError,
    TincansError,
    TooLargeError,
)
from tincans.toolkit.files.file_lock import PATIENCE, held_by_another
from tincans.toolkit.files.file_trouble import trouble
from tincans.toolkit.files.private_file import FILE_MODE, open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

FIRST_PAUSE = 0.0002
LAST_PAUSE = 0.003
Content = dict[str, Any]
_Signature = tuple[int, int, int]
_NOTHING: _Signature = (0, 0, 0)
_format = msgspec.json.format
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Draft:
    """The content under the lock, to be changed in place. `unchanged()`: leave the file as it is."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.is_changed = True

    def unchanged(self) -> None:
        self.is_changed = False

    def section(self, name: str) -> Any:
        """One part of the content, made when it is not there."""
        return self.content.setdefault(name, {})

    def next_number(self) -> int:
        """A number higher than all before it in this file."""
        number = self.content.get("count", 0)
        self.content["count"] = number = (number if isinstance(number, int) else 0) + 1
        return int(number)


class JsonDocument:
    """The file at `path`. Any thread may use it. KeepError and DeniedError say what is wrong with it.

    `parts` are the sections that must be objects when they are there. Sizes are in bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     document = JsonDocument(Path(place, "a.json"))
    ...     with document.changing(timeout=1) as draft:
    ...         draft.section("state")["mood"] = "good"
    ...     print(document.now()["state"])
    ...     document.close()
    {'mood': 'good'}
    """

    def __init__(self, path: Path, *, fsync: bool = True, largest: int = 1 << 26, parts: tuple[str, ...] = ()) -> None:
        self.path = path
        self.lock_path = path.with_name(f"{path.name}.lock")
        self._new_path = path.with_name(f"{path.name}.new")
        self._fsync = fsync
        self._largest = largest
        self._parts = parts
        self._guard = threading.Lock()
        self._reading = threading.Lock()
        self._fd = -1  # of the version that was read last: while it is open no other one can have its inode
        self._signature = _NOTHING
        self._content: Content = {}
        self._closed = False
        if not path.parent.is_dir():
            raise AddressError(f"There is no directory {path.parent} to keep {path.name} in. Make it first.")
        abandon_in_child(self)
        self.now()

    def now(self) -> Content:
        """The content as it is now, not to be changed. Takes no lock, unless what stands there is not whole."""
        with self._reading:
            if not self.is_news():
                return self._content
            try:
                self._look()
            except KeepError:
                with self._locked(1.0):  # a program that does not replace the file may have been in the middle
                    self._look()
            return self._content

    def is_news(self) -> bool:
        """Whether the file is another one than was read last."""
        if self._closed:
            raise ClosedError(f"{self.path} was closed here.")
        try:
            return self._fd < 0 or _signature(self.path.lstat()) != self._signature
        except FileNotFoundError:
            return bool(self._content) or self._fd >= 0

    @contextmanager
    def changing(self, *, timeout: float | None) -> Iterator[Draft]:
        """The content under the lock; it is written when the block ends well. WaitTimeoutError when others hold it."""
        patience = PATIENCE if timeout is None else max(0.0, timeout)
        if not self._guard.acquire(True, patience):
            raise held_by_another(self.lock_path, patience)
        try:
            with self._locked(patience):
                with self._reading:
                    data = self._load()
                    self._content, draft = self._parsed(data), Draft(self._parsed(data))
                yield draft
                if draft.is_changed:
                    self._replace(draft.content)
        finally:
            self._guard.release()

    # -- reading -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._content = self._parsed(self._load())

    def _load(self) -> bytes:
        """The bytes of the file; b"" when there is none."""
        try:
            fd = open_private(self.path, create=False, write=False)
        except FileNotFoundError:
            self._keep(-1, _NOTHING)
            return b""
        status = os.fstat(fd)
        try:
            if status.st_size > self._largest:
                raise self._damaged(f"it has {status.st_size:,} bytes; the limit is {self._largest:,}")
            data = os.pread(fd, status.st_size + 1, 0)
        except BaseException:
            os.close(fd)
            raise
        self._keep(fd, _signature(status))
        return data

    def _keep(self, fd: int, signature: _Signature) -> None:
        before, self._fd, self._signature = self._fd, fd, signature
        if before >= 0:
            os.close(before)

    def _parsed(self, data: bytes) -> Content:
        if not data.strip():
            return {}
        try:
            content = _decode(data)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise self._damaged(f"it is not JSON ({error})") from None
        if not isinstance(content, dict):
            raise self._damaged(f"it is a JSON {type(content).__name__}, not an object")
        for name in self._parts:
            if not isinstance(content.get(name, {}), dict):
                raise self._damaged(f'its "{name}" is not an object')
        return content

    def _damaged(self, what: str) -> KeepError:
        self._signature = _NOTHING  # looked at again by the next who asks
        return KeepError(
            f"{self.path} cannot be used: {what}. It was not touched. Mend it, put a copy back, or choose another file."
        )

    # -- writing -----------------------------------------------------------------------------------------------

    def _replace(self, content: Content) -> None:
        data = _format(_encode(content), indent=2) + b"\n"
        if len(data) > self._largest:
            raise TooLargeError(
                f"{self.path} would have {len(data):,} bytes; the limit is {self._largest:,}. Nothing was changed."
            )
        try:
            fd, signature = self._written(data)
        except TincansError:  # some of them are OSErrors too
            raise
        except OSError as error:
            raise trouble(self.path, error) from error
        with self._reading:
            self._content = content
            self._keep(fd, signature)

    def _written(self, data: bytes) -> tuple[int, _Signature]:
        """Replace the file; a descriptor of the new one, for reading only: it must not keep a disk from going away.

        Its signature is from before the others could see it, so that whatever they do to it then is news.
        """
        try:
            fd = self._new_file()
            try:
                self._fill(fd, data)
                reading = os.open(self._new_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                signature = _signature(os.fstat(fd))
            finally:
                os.close(fd)
            self._new_path.rename(self.path)
        except OSError as error:
            if not isinstance(error, TincansError):
                self._new_path.unlink(missing_ok=True)
            raise
        if self._fsync:
            self._sync_directory()
        return reading, signature

    def _fill(self, fd: int, data: bytes) -> None:
        with suppress(FileNotFoundError):
            os.fchmod(fd, self.path.lstat().st_mode & 0o777)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        if self._fsync:
            os.fsync(fd)

    def _new_file(self) -> int:
        """PATH.new, empty. What a killed writer left there goes, for the lock is ours; anything planted is refused."""
        with suppress(FileNotFoundError):
            os.close(open_private(self._new_path, create=False, write=False))
            self._new_path.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self._new_path, flags, FILE_MODE)
        except FileExistsError:
            raise DeniedError(f"{self._new_path} was made by somebody who does not hold {self.lock_path}.") from None

    def _sync_directory(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # -- the lock ----------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self, patience: float) -> Iterator[None]:
        deadline, pause = time.monotonic() + patience, FIRST_PAUSE
        while True:
            fd = open_private(self.lock_path, create=True, write=False)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if same_file(self.lock_path, fd):  # else its holder removed it when he left, as some libraries do
                    break
                os.close(fd)
            except BlockingIOError:
                os.close(fd)
                if time.monotonic() + pause > deadline:
                    raise held_by_another(self.lock_path, patience) from None
                time.sleep(pause)
                pause = min(pause * 1.5, LAST_PAUSE)
        try:
            yield
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._reading:
            self._closed = True
            self._keep(-1, _NOTHING)

    def abandon(self) -> None:
        """In a forked child (see fork_guard)."""
        self._reading = threading.Lock()
        self.close()


def _signature(status: os.stat_result) -> _Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns
