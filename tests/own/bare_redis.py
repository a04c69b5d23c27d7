"""A Redis program that is nothing but a socket: `bare_redis.py PORT COMMAND [WORD ...]`, which prints the answers.

Rules of this file
- It prints like `redis-cli --raw`: one line for each value, and goes on printing after SUBSCRIBE.
"""

from __future__ import annotations

import socket
import sys
from typing import BinaryIO


def show(answers: BinaryIO) -> None:
    """Print one answer."""
    line = answers.readline().rstrip(b"\r\n").decode()
    kind, text = line[0], line[1:]
    if kind == "$" and text != "-1":
        print(answers.read(int(text) + 2)[:-2].decode(), flush=True)
    elif kind == "*":
        for _ in range(int(text)):
            show(answers)
    else:
        print("" if kind == "$" else text, flush=True)


def main() -> None:
    """One command; after SUBSCRIBE, whatever comes."""
    port, *words = sys.argv[1:]
    with socket.create_connection(("127.0.0.1", int(port)), 10) as line, line.makefile("rb") as answers:
        encoded = [word.encode() for word in words]
        line.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(e), e) for e in encoded))
        show(answers)
        line.settimeout(None)
        while words[0].upper() == "SUBSCRIBE":
            show(answers)


if __name__ == "__main__":
    main()
