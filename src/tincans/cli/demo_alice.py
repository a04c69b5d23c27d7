"""Alice of `tincans demo`: a program of her own that offers four functions at the URL she is given.

Rules of this file
- It reads as a user's program would: only the public face is used.
- She prints the address she can be reached at, and ends when the program that started her closes her stdin.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import tincans


def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def count_to(last: int) -> Iterator[int]:
    """1, 2, 3, ... one by one."""
    yield from range(1, last + 1)


def size(data: bytes) -> int:
    """How many bytes have arrived."""
    return len(data)


def serve(url: str) -> None:
    """Serve at `url` until stdin ends, or, when stdin itself is the string, until the other end hangs up."""
    alice = tincans.serve(url)
    for function in (add, count_to, size):
        alice.expose(function)
    if url.startswith("stdio:"):
        alice.run()
        return
    with alice:
        print(alice.urls[0], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
