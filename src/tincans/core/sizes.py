"""How large a message is, and what is said of one that is too large: the same words by every method."""

from __future__ import annotations

from tincans.contracts import Parts
from tincans.errors import TooLargeError


def size_of(parts: Parts) -> int:
    """Bytes of all parts together.

    >>> size_of([b"envelope", memoryview(b"part")])
    12
    """
    return sum(len(part) if type(part) is bytes else memoryview(part).nbytes for part in parts)


def too_large(total: int, limit: int, url: str | None = None) -> TooLargeError:
    """The message was looked at before anything of it left."""
    return TooLargeError(
        f"A message of {total:,} bytes is larger than the limit of {limit:,} (max_message); nothing was sent. Send it"
        " in pieces, or raise the option max_message on both sides.",
        url=url,
    )
