"""Named values as one line of text at the start of a file, for programs that map it and read or write a line.

Rules of this file
- The line ends at the first newline or zero byte and has less than a page, so that no kill can leave half of it.
- One value under the key "line" is the whole line; anything else is words: `mood=sunny flag:paused=true`. A text with
  blanks or "=" stands in double quotes.
- The second page says whether the line is just being written, and its checksum, so that Tincans programs never take a
  torn line from each other. A program that only writes the line need not know of it.
- Read and written by pread and pwrite (store.py has the reason).
"""

from __future__ import annotations

import json
import os
import re
import struct
import threading
import time
from pathlib import Path
from zlib import crc32

from tincans.errors import FullError, KeepError
from tincans.toolkit.files.file_lock import LockedFile
from tincans.toolkit.files.file_trouble import trouble
from tincans.toolkit.files.private_file import open_private
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.mapped.store import PAGE, Held

WHOLE = "line"
"""The key of a line that is one value."""

SIZE = 2 * PAGE
_MAGIC = b"TINCANl1"
_NOTE = struct.Struct("<8sQI")  # magic, generation (odd: in the middle of writing), checksum of the line
_PATIENCE = 0.2
_KEY = re.compile(r'([^\s="]+)=')
_extent = json.JSONDecoder().raw_decode


class MappedLine:
    """The open file. Any thread may use it. The same methods and errors as MappedStore.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     line = MappedLine(Path(place, "mood"))
    ...     line.set("line", b"sunny day", timeout=1)
    ...     print(Path(place, "mood").read_bytes()[:10])
    ...     line.close()
    b'sunny day\\n'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LockedFile(path, open_private(path, create=True))
        self._telling = threading.Lock()
        self._raw = b""
        self._words: dict[str, bytes] = {}
        self._told: dict[str, Held] = {}
        try:
            if os.fstat(self._file.fd).st_size < SIZE:
                with self._file.locked(timeout=_PATIENCE):
                    self._grow()
        except BaseException:
            self._file.abandon()
            raise
        abandon_in_child(self)

    def get(self, key: str) -> Held | None:
        """Version and value; the version grows when this program sees another value."""
        value = self._now().get(key)
        with self._telling:
            told = self._told.get(key)
            if value is None or (told is not None and told[1] == value):
                return None if value is None else told
            told = self._told[key] = (1 if told is None else told[0] + 1), value
            return told

    def keys(self) -> list[str]:
        """All keys in the line, sorted."""
        return sorted(self._now())

    def set(self, key: str, value: bytes, *, timeout: float | None) -> None:
        """Write it. FullError when the line would not fit into its page."""
        with self._file.locked(timeout=timeout):
            self._write({**self._now(), key: value})

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """Take it away; False when there was none."""
        with self._file.locked(timeout=timeout):
            words = dict(self._now())
            if words.pop(key, None) is None:
                return False
            self._write(words)
            return True

    def _now(self) -> dict[str, bytes]:
        raw = self._pages()
        if raw != self._raw or not raw:
            raw = self._settled(raw)
            words = _words(_line(raw).decode("utf-8", "replace"))
            self._words, self._raw = words, raw
        return self._words

    def _settled(self, raw: bytes) -> bytes:
        """The pages when nobody is in the middle of writing them: what the note says, or two looks that agree."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            generation, checksum = _note(raw)
            whole = generation % 2 == 0 and checksum == crc32(_line(raw))
            if whole and raw:
                return raw
            before, raw = raw, self._pages()
            over = time.monotonic() > deadline  # its writer was killed, or stopped: a page is written in one go
            if raw == before and raw and (over or generation % 2 == 0):
                return raw
            if over and not raw:
                raise KeepError(f"{self.path} is empty: another program cut it off. Write a line to it.")
            time.sleep(0.0001)

    def _write(self, words: dict[str, bytes]) -> None:
        line = _said(words)
        if len(line) >= PAGE:
            raise FullError(
                f"{self.path} holds a line of {PAGE - 1:,} bytes at most; this one would have {len(line):,}."
            )
        self._grow()
        raw = self._pages()
        generation = _note(raw)[0] | 1
        old = len(_line(raw)) + 1
        try:
            note = _NOTE.pack(_MAGIC, generation, crc32(line))
            os.pwrite(self._file.fd, note, PAGE)
            os.pwrite(self._file.fd, (line + b"\n").ljust(min(old, PAGE), b"\0"), 0)
            os.pwrite(self._file.fd, _NOTE.pack(_MAGIC, generation + 1, crc32(line)), PAGE)
        except OSError as error:
            raise trouble(self.path, error) from error

    def _pages(self) -> bytes:
        return os.pread(self._file.descriptor, SIZE, 0)

    def _grow(self) -> None:
        """Two pages, of which a foreign program may have made the first; with the lock."""
        status = os.fstat(self._file.fd)
        if status.st_size >= SIZE:
            return
        if status.st_size > PAGE:
            raise KeepError(f"{self.path} is no file with a line of text: it has {status.st_size:,} bytes.")
        try:
            os.posix_fallocate(self._file.fd, 0, SIZE)
            if not status.st_size:
                os.pwrite(self._file.fd, _NOTE.pack(_MAGIC, 0, crc32(b"")), PAGE)
        except OSError as error:
            raise trouble(self.path, error) from error

    def close(self) -> None:
        """Let go of the file; its line stays. May be called twice."""
        self._file.close()

    def abandon(self) -> None:
        """Close the descriptor only (see fork_guard)."""
        self._file.abandon()


def _note(raw: bytes) -> tuple[int, int]:
    """Generation and checksum; (0, -1) when no Tincans program has written the line."""
    if len(raw) < PAGE + _NOTE.size:
        return 0, -1
    magic, generation, checksum = _NOTE.unpack_from(raw, PAGE)
    return (generation, checksum) if magic == _MAGIC else (0, -1)


def _line(raw: bytes) -> bytes:
    return raw[:PAGE].partition(b"\n")[0].partition(b"\0")[0]


def _said(words: dict[str, bytes]) -> bytes:
    """The line for some values."""
    if set(words) == {WHOLE}:
        text = words[WHOLE].decode()
        if set(_words(text)) == {WHOLE} and not text.startswith(f"{WHOLE}="):
            return text.encode()
    return " ".join(f"{_said_key(key)}={_said_word(value.decode())}" for key, value in words.items()).encode()


def _said_key(key: str) -> str:
    return key if _KEY.fullmatch(f"{key}=") else json.dumps(key, ensure_ascii=False)


def _said_word(text: str) -> str:
    if text[:1] in ('"', "[", "{") or not re.search(r"[\s=]", text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _words(line: str) -> dict[str, bytes]:
    """The values in a line: `key=value` words, or else the line itself.

    >>> _words('mood="sunny day" n=5'), _words("x = 5"), _words("")
    ({'mood': b'"sunny day"', 'n': b'5'}, {'line': b'x = 5'}, {})
    """
    words: dict[str, bytes] = {}
    rest = line.strip()
    try:
        while rest:
            key, rest = _heard_key(rest)
            end = (
                _extent(rest)[1] if rest[:1] in ('"', "[", "{") else len(rest.split(None, 1)[0] if rest.strip() else "")
            )
            words[key] = rest[:end].encode()
            if rest[end : end + 1].strip() or not end:
                raise ValueError("no blank between two words")
            rest = rest[end:].lstrip()
    except (ValueError, RecursionError):
        return {WHOLE: line.strip().encode()}
    return words


def _heard_key(rest: str) -> tuple[str, str]:
    if rest[0] == '"':
        key, end = _extent(rest)
        if not isinstance(key, str) or rest[end : end + 1] != "=":
            raise ValueError("no key")
        return key, rest[end + 1 :]
    found = _KEY.match(rest)
    if found is None:
        raise ValueError("no key")
    return found[1], rest[found.end() :]
