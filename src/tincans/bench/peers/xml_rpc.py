"""XML-RPC of the standard library: SimpleXMLRPCServer with a thread for each connection, and ServerProxy."""

from __future__ import annotations

import contextlib
import socketserver
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from tincans.bench.contestant import CALLS, Client, Contestant, Serving, address_file, in_background
from tincans.bench.service import add


class KeepAlive(SimpleXMLRPCRequestHandler):
    """HTTP/1.1, so that a client keeps its connection, and no waiting for a full packet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1


class Threading(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    def size(data: xmlrpc.client.Binary) -> int:
        return len(data.data)

    offered: list[Any] = [add, size]
    with Threading(("127.0.0.1", 0), KeepAlive, logRequests=False, allow_none=True) as server:
        for function in offered:
            server.register_function(function)
        server.register_multicall_functions()
        address_file(place).write_text(f"http://127.0.0.1:{server.server_address[1]}")
        with in_background(server.serve_forever):
            yield Serving()
        server.shutdown()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    with xmlrpc.client.ServerProxy(address_file(place).read_text()) as proxy:

        def pipeline(count: int) -> None:
            batch: Any = xmlrpc.client.MultiCall(proxy)
            for n in range(count):
                batch.add(n, 1)
            for _ in batch():
                pass

        def deliver(data: xmlrpc.client.Binary) -> int:
            return int(str(proxy.size(data)))

        yield Client(call=proxy.add, pipeline=pipeline, prepare=binary, deliver=deliver)


def binary(array: Any) -> xmlrpc.client.Binary:
    """Bytes as XML-RPC wants them."""
    return xmlrpc.client.Binary(bytes(array))


CONTESTANTS = (
    Contestant(
        name="XML-RPC",
        kind="other",
        about="the standard library's threading server with kept connections and `ServerProxy`; `MultiCall` for "
        "pipelined calls, `Binary` for payloads",
        can=CALLS,
        serve=serve,
        connect=connect,
    ),
)
