"""grpcio: a .proto compiled as its documentation says, a thread pool behind a Unix socket, a blocking stub."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import CALLS, Client, Contestant, Serving
from tincans.bench.service import add

PROTO = """syntax = "proto3";
package bench;
message Pair { int64 a = 1; int64 b = 2; }
message Payload { bytes data = 1; }
message Number { int64 value = 1; }
service Calculator {
  rpc Add (Pair) returns (Number);
  rpc Size (Payload) returns (Number);
}
"""
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each channel, as for everybody else
)
MADE = "made-by-protoc"
WORKERS = 10
WINDOW = 10
"""Calls of one client under way: a server cancels what is beyond a thousand waiting ones, and clients are many."""


def compile_in(place: Path) -> None:
    """What protoc makes of it, two modules."""
    from grpc_tools import protoc

    made = place / MADE
    made.mkdir()
    (made / "calculator.proto").write_text(PROTO)
    if protoc.main(["protoc", f"-I{made}", f"--python_out={made}", f"--grpc_python_out={made}", "calculator.proto"]):
        raise RuntimeError("protoc failed")


def compiled(place: Path) -> tuple[Any, Any]:
    """The two modules: messages, and stubs."""
    if str(place / MADE) not in sys.path:
        sys.path.insert(0, str(place / MADE))
    return importlib.import_module("calculator_pb2"), importlib.import_module("calculator_pb2_grpc")


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    compile_in(place)
    messages, stubs = compiled(place)

    class Calculator(stubs.CalculatorServicer):  # type: ignore[misc, name-defined]
        def Add(self, request: Any, context: Any) -> Any:
            return messages.Number(value=add(request.a, request.b))

        def Size(self, request: Any, context: Any) -> Any:
            return messages.Number(value=len(request.data))

    server = grpc.server(ThreadPoolExecutor(WORKERS), options=OPTIONS)
    stubs.add_CalculatorServicer_to_server(Calculator(), server)
    server.add_insecure_port(f"unix:{place}/socket")
    server.start()
    yield Serving()
    server.stop(0.1)


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import grpc

    messages, stubs = compiled(place)
    with grpc.insecure_channel(f"unix:{place}/socket", options=OPTIONS) as channel:
        stub = stubs.CalculatorStub(channel)

        def call(a: int, b: int) -> Any:
            return stub.Add(messages.Pair(a=a, b=b)).value

        def pipeline(count: int) -> None:
            for begin in range(0, count, WINDOW):
                some = range(min(WINDOW, count - begin))
                for future in [stub.Add.future(messages.Pair(a=n, b=1)) for n in some]:
                    future.result()

        def deliver(payload: Any) -> int:
            return int(stub.Size(payload).value)

        def prepare(array: Any) -> Any:
            return messages.Payload(data=bytes(array))

        yield Client(call=call, pipeline=pipeline, prepare=prepare, deliver=deliver)


CONTESTANTS = (
    Contestant(
        name="grpcio",
        kind="other",
        about="a compiled .proto, a thread pool, a Unix socket, the blocking stub; ten futures at a time pipelined",
        can=CALLS,
        serve=serve,
        connect=connect,
        needs=("grpc", "grpc_tools"),
    ),
)
