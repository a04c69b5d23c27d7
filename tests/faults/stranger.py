"""A program full of strangers: `stranger.py KIND PLACE COUNT`. They connect and say nothing, little, or garbage.

Rules of this file
- PLACE is `unix:/path`, `tcp:PORT` or `pipe:/path/of/the/rendezvous`; nothing of tincans is used to talk to it.
- Says "there" when all have connected, then how many were cut and how long the first and last of them lived.
- `garbage` connects COUNT times, one after the other, and says "done".
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import secrets
import select
import socket
import sys
import time
from pathlib import Path

TRICKLE = 0.5
"""Seconds between two bytes of one who trickles."""

FRAME = b"\x00\x00\x00\x64\x01"
"""The beginning of something that may be a message: whoever sends a byte of it now and then keeps it open."""


def say(said: str, **what: object) -> None:
    """One line."""
    print(json.dumps({"said": said, **what}), flush=True)


def connect(place: str) -> socket.socket:
    """A connection without a word."""
    scheme, _, rest = place.partition(":")
    if scheme == "unix":
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(rest)
        return stream
    return socket.create_connection(("127.0.0.1", int(rest)))


def announce(place: str) -> None:
    """To a pipe: an announcement of somebody who is not there."""
    rendezvous = os.open(place.partition(":")[2], os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        os.write(rendezvous, f"\ntincan1 {secrets.token_hex(16)} {os.getpid():010d}\n".encode())
    os.close(rendezvous)


def stay(place: str, count: int, *, trickle: bool) -> None:
    """Be many, until all are cut."""
    began = time.monotonic()
    born = {}
    poll = select.poll()
    streams = {}
    for _ in range(count):
        stream = connect(place)
        streams[stream.fileno()] = stream
        born[stream.fileno()] = time.monotonic()
        poll.register(stream, select.POLLIN | select.POLLRDHUP)
    say("there", took=time.monotonic() - began)
    lives: list[float] = []
    sent, next_byte = 0, time.monotonic() + TRICKLE
    while streams:
        for fd, _event in poll.poll(50):
            stream = streams[fd]
            with contextlib.suppress(OSError):
                if stream.recv(4096, socket.MSG_DONTWAIT):
                    continue
            poll.unregister(fd)
            del streams[fd]
            lives.append(time.monotonic() - born[fd])
            stream.close()
        if trickle and time.monotonic() > next_byte:
            next_byte += TRICKLE
            for stream in streams.values():
                with contextlib.suppress(OSError):
                    stream.send(FRAME[sent : sent + 1] or b"\x01", socket.MSG_DONTWAIT)
            sent += 1
    say("cut", count=len(lives), first=min(lives), last=max(lives))


def garbage(place: str, count: int) -> None:
    """Random bytes, lies about lengths, half messages, and goodbyes in the middle."""
    chance = random.Random(count)
    for _ in range(count):
        data = chance.choice(
            [
                chance.randbytes(chance.randrange(1, 300)),
                b"\xff\xff\xff\xff" + chance.randbytes(20),
                b"\x00\x00\x00" + bytes([chance.randrange(256)]) + chance.randbytes(60),
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(40),
                b"",
            ]
        )
        with contextlib.suppress(OSError):
            if place.startswith("pipe:"):
                rendezvous = os.open(place.partition(":")[2], os.O_WRONLY | os.O_NONBLOCK)
                try:
                    os.write(rendezvous, data)
                finally:
                    os.close(rendezvous)
            else:
                with connect(place) as stream:
                    stream.sendall(data)
    say("done")


def announcements(place: str, count: int) -> None:
    """As many as there are, again and again, for as long as a stranger may stay."""
    over = time.monotonic() + 2.0
    say("there")
    while time.monotonic() < over:
        for _ in range(count):
            announce(place)
        time.sleep(0.05)
    say("cut", count=count, first=0.0, last=0.0)


def main() -> None:
    """One kind."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if place.startswith("pipe:") and not Path(place.partition(":")[2]).is_fifo():
        sys.exit(f"{place} is no FIFO")
    if kind == "garbage":
        garbage(place, count)
    elif kind == "announcements":
        announcements(place, count)
    else:
        stay(place, count, trickle=kind == "trickling")


if __name__ == "__main__":
    main()
