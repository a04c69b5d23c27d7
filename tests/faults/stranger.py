"""A program full of strangers, who say nothing, little, or garbage: `stranger.py KIND PLACE COUNT [MANNER]`.

Rules of this file
- PLACE is `unix:/path`, `tcp:PORT`, `pipe:/path/of/the/rendezvous` or `mq:/name-of-the-queue`; nothing of tincans is
  used to talk to it.
- MANNER is what the server there expects (BEGINNINGS): who trickles and who throws garbage begins as if he knew it.
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

BEGINNINGS = {
    "frames": b"\x00\x00\x00\x64\x01",
    "lines": b'{"call":"add","args":[1,"',
    "words": b"add 1 ",
    "http": b"GET /add?a=1&b=2 HTTP/1.1\r\nHost: localhost\r\nX: ",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "offer": b"tincans-ring",
}
"""The beginning of something that may be a message: whoever sends a byte of it now and then keeps it open."""


def _post(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


REQUESTS = [
    _post("/add", "application/json", b"[2,5]"),
    _post("/jsonrpc", "application/json", b'{"jsonrpc":"2.0","method":"add","params":[1,2],"id":1}'),
    _post("/RPC2", "text/xml", b"<methodCall><methodName>add</methodName><params/></methodCall>"),
    _post("/-/call", "application/json", b'{"id":1,"call":"$take","args":["jobs"],"timeout":1e300}'),
    b"GET /-/events?topic=news.* HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n[[[[",
    b"OPTIONS /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
]
OFFER = b"tincans-ring-1"


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


def stay(place: str, count: int, manner: str, *, trickle: bool) -> None:
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
    sent, next_byte, beginning = 0, time.monotonic() + TRICKLE, BEGINNINGS[manner]
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
                    stream.send(beginning[sent : sent + 1] or b"\x01", socket.MSG_DONTWAIT)
            sent += 1
    say("cut", count=len(lives), first=min(lives), last=max(lives))


def garbage(place: str, count: int, manner: str) -> None:
    """Random bytes, lies about lengths, half messages, and goodbyes in the middle."""
    chance = random.Random(count)
    for _ in range(count):
        data = _piece(chance, manner)
        with contextlib.suppress(OSError):
            if place.startswith("mq:"):
                _put(place.partition(":")[2], data[:64])
            elif place.startswith("pipe:"):
                rendezvous = os.open(place.partition(":")[2], os.O_WRONLY | os.O_NONBLOCK)
                try:
                    os.write(rendezvous, data)
                finally:
                    os.close(rendezvous)
            else:
                with connect(place) as stream:
                    if manner == "offer" and chance.random() < 0.5:
                        _offer(stream, chance, data)
                    else:
                        stream.sendall(data)
    say("done")


def _piece(chance: random.Random, manner: str) -> bytes:
    """What is thrown: of no protocol, or nearly what is expected here."""
    if manner in ("http", "lines") and chance.random() < 0.6:
        data = bytearray(chance.choice(REQUESTS) if manner == "http" else BEGINNINGS[manner] + b'"],"id":1}\n')
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        return bytes(data)
    return chance.choice(
        [
            chance.randbytes(chance.randrange(1, 300)),
            b"\xff\xff\xff\xff" + chance.randbytes(20),
            b"\x00\x00\x00" + bytes([chance.randrange(256)]) + chance.randbytes(60),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            BEGINNINGS["tls"] + chance.randbytes(40),
            BEGINNINGS[manner] + chance.randbytes(chance.randrange(40)),
            f"tincan1 {secrets.token_hex(16)} {os.getpid()}".encode(),
            b"",
        ]
    )


def _offer(stream: socket.socket, chance: random.Random, data: bytes) -> None:
    """Shared memory that is none, or lies: what the greeting says may be right, the descriptors are not."""
    held = []
    try:
        for _ in range(chance.randrange(5)):
            held.append(chance.choice([_memory, _event, _null])())
        greeting = OFFER if chance.random() < 0.7 else OFFER[: chance.randrange(1, 14)] + data[:4]
        socket.send_fds(stream, [greeting], held)
        if chance.random() < 0.5:
            stream.sendall(data)
    finally:
        for fd in held:
            os.close(fd)


def _memory() -> int:
    fd = os.memfd_create("stranger", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 1 << 16)
    return fd


def _event() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def _null() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _put(name: str, data: bytes) -> None:
    """One message into a queue of the kernel's, when there is room."""
    import posix_ipc

    queue = posix_ipc.MessageQueue(name)
    with contextlib.suppress(posix_ipc.BusyError):
        queue.send(data, timeout=1)
    queue.close()


def announcements(place: str, count: int) -> None:
    """As many as there are, again and again, for as long as a stranger may stay."""
    over = time.monotonic() + 2.0
    say("there")
    while time.monotonic() < over:
        for _ in range(count):
            if place.startswith("mq:"):
                _put(place.partition(":")[2], f"tincan1 {secrets.token_hex(16)} {os.getpid()}".encode())
            else:
                announce(place)
        time.sleep(0.05)
    say("cut", count=count, first=0.0, last=0.0)


def main() -> None:
    """One kind."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind, place, count, *rest = sys.argv[1:]
    run(kind, place, int(count), rest[0] if rest else "frames")


def run(kind: str, place: str, count: int, manner: str) -> None:
    """One kind."""
    if place.startswith("pipe:") and not Path(place.partition(":")[2]).is_fifo():
        sys.exit(f"{place} is no FIFO")
    if kind == "garbage":
        garbage(place, count, manner)
    elif kind == "announcements":
        announcements(place, count)
    else:
        stay(place, count, manner, trickle=kind == "trickling")


if __name__ == "__main__":
    main()
