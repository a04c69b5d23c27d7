"""JSON-RPC over streams: the specification's own examples, a language server's framing, and programs that lie.

Rules of this file
- The other side is a plain socket or a program that knows the standard library only.
- The examples are those of https://www.jsonrpc.org/specification, section 7.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz.json_rpc import fuzz

import tincans
from tincans.errors import AddressError, DisconnectedError, NotExposedError, RemoteError, UnsendableError


class Plain:
    """A foreign program: JSON texts on a socket."""

    def __init__(self, stream: socket.socket, *, headers: bool = False) -> None:
        stream.settimeout(10)
        self.stream = stream
        self.file = stream.makefile("rb")
        self.headers = headers

    def send(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.stream.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(data), data) if self.headers else data + b"\n")

    def receive(self) -> Any:
        if not self.headers:
            return json.loads(self.file.readline())
        size = 0
        while line := self.file.readline().strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        return json.loads(self.file.read(size))


@pytest.fixture(scope="module")
def server() -> Iterator[tincans.Server]:
    with tincans.serve("jsonrpc+tcp://127.0.0.1:0") as server:
        heard: list[Any] = []

        @server.expose
        def subtract(minuend: int, subtrahend: int) -> int:
            return minuend - subtrahend

        @server.expose(name="sum")
        def add_up(*numbers: int) -> int:
            return sum(numbers)

        @server.expose
        def get_data() -> list[Any]:
            return ["hello", 5]

        @server.expose
        def update(*values: Any) -> None:
            heard.append(values)

        @server.expose
        def notify_hello(value: int) -> None:
            heard.append(value)

        @server.expose
        def what_was_heard() -> list[Any]:
            return heard

        @server.expose
        def fail(text: str) -> None:
            raise ValueError(text)

        @server.expose
        def nap(seconds: float) -> str:
            time.sleep(seconds)
            return "awake"

        @server.expose
        def count(n: int) -> Iterator[int]:
            yield from range(n)

        @server.expose
        def ask_back(name: str, value: int) -> Any:
            return getattr(tincans.caller().call, name)(value)

        yield server


@contextlib.contextmanager
def plain(server: tincans.Server, *, headers: bool = False) -> Iterator[Plain]:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as stream:
        yield Plain(stream, headers=headers)


EXAMPLES = {
    "positional parameters": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        {"jsonrpc": "2.0", "result": 19, "id": 1},
    ),
    "positional parameters the other way round": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        {"jsonrpc": "2.0", "result": -19, "id": 2},
    ),
    "named parameters": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
        {"jsonrpc": "2.0", "result": 19, "id": 3},
    ),
    "named parameters in another order": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
        {"jsonrpc": "2.0", "result": 19, "id": 4},
    ),
    "a method that is not there": (
        '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
        {"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"},
    ),
    "invalid JSON": (
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        {"jsonrpc": "2.0", "error": {"code": -32700}, "id": None},
    ),
    "an invalid request": (
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None},
    ),
    "a batch of invalid JSON": (
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]',
        {"jsonrpc": "2.0", "error": {"code": -32700}, "id": None},
    ),
    "an empty batch": ("[]", {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}),
    "an invalid batch that is not empty": ("[1]", [{"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}]),
    "an invalid batch": ("[1,2,3]", [{"jsonrpc": "2.0", "error": {"code": -32600}, "id": None}] * 3),
    "a batch": (
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
        '{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},'
        '{"foo": "boo"},'
        '{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
        '{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]',
        [
            {"jsonrpc": "2.0", "result": 7, "id": "1"},
            {"jsonrpc": "2.0", "result": 19, "id": "2"},
            {"jsonrpc": "2.0", "error": {"code": -32600}, "id": None},
            {"jsonrpc": "2.0", "error": {"code": -32601}, "id": "5"},
            {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"},
        ],
    ),
}


def shortened(answer: Any) -> Any:
    """An answer without the words of its error, in any order: the codes are the specification's, the words ours."""
    if isinstance(answer, list):
        return sorted(map(shortened, answer), key=repr)
    return answer | {"error": {"code": answer["error"]["code"]}} if "error" in answer else answer


@pytest.mark.parametrize("headers", [False, True], ids=["lines", "headers"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_specifications_example(server: tincans.Server, example: str, headers: bool) -> None:
    text, answer = EXAMPLES[example]
    with plain(server, headers=headers) as other:
        other.send(text)
        got = other.receive()
        assert shortened(got) == shortened(answer)
        for one in got if isinstance(got, list) else [got]:
            assert "error" not in one or isinstance(one["error"]["message"], str)


def test_a_batch_in_a_batch_is_no_request(server: tincans.Server) -> None:
    call = '{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": 1}'
    with plain(server) as other:
        other.send(f"[ [{call}], [1, 2], {call} ]")
        got = sorted(other.receive(), key=lambda one: "result" in one)
        assert [one.get("result") or one["error"]["code"] for one in got] == [-32600, -32600, 2]


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}',
        '{"jsonrpc": "2.0", "method": "foobar"}',
        '[{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},{"jsonrpc": "2.0", "method": "foobar"}]',
        '{"jsonrpc": "2.0", "method": "$/nobody/knows/this", "params": {"id": 5}}',
        '{"jsonrpc": "2.0", "result": 5, "id": "nobody asked"}',
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}',
    ],
)
def test_what_wants_no_answer_gets_none(server: tincans.Server, text: str) -> None:
    with plain(server) as other:
        other.send(text)
        other.send('{"jsonrpc": "2.0", "method": "subtract", "params": [2, 1], "id": "after"}')
        assert other.receive()["id"] == "after"


def test_a_notification_is_heard(server: tincans.Server) -> None:
    with plain(server) as other:
        other.send('{"jsonrpc": "2.0", "method": "notify_hello", "params": [12345]}')
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            other.send('{"jsonrpc": "2.0", "method": "what_was_heard", "id": 1}')
            if 12345 in other.receive()["result"]:
                return
    pytest.fail("it was not heard")


@pytest.mark.parametrize("id", [0, 1, 2, -5, 1.5, "", "a text", '\u00e4 " \\', None, 2**53, 2**70])
def test_an_id_of_any_kind_comes_back_as_it_was(server: tincans.Server, id: Any) -> None:
    with plain(server) as other:
        other.send(json.dumps({"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": id}))
        assert other.receive() == {"jsonrpc": "2.0", "result": 2, "id": id}


def test_calls_are_answered_as_they_are_done(server: tincans.Server) -> None:
    with plain(server) as other:
        other.send('{"jsonrpc": "2.0", "method": "nap", "params": [0.3], "id": "slow"}')
        other.send('{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": "quick"}')
        assert [other.receive()["id"] for _ in range(2)] == ["quick", "slow"]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("subtract", [1], -32602),
        ("subtract", ["a", 1], -32602),
        ("subtract", {"minuend": 1, "other": 2}, -32602),
        ("fail", ["on purpose"], -32000),
        ("__class__", [], -32601),
        ("rpc.describe", [], -32601),
    ],
)
def test_a_call_that_fails_has_its_code(server: tincans.Server, method: str, params: Any, code: int) -> None:
    with plain(server) as other:
        other.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 7}))
        answer = other.receive()
        assert answer["error"]["code"] == code
        assert answer["id"] == 7


def test_a_request_that_is_cancelled_is_answered_so_and_only_once(server: tincans.Server) -> None:
    with plain(server) as other:
        other.send('{"jsonrpc": "2.0", "method": "nap", "params": [0.2], "id": "x"}')
        other.send('{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "x"}}')
        answer = other.receive()
        assert (answer["id"], answer["error"]["code"]) == ("x", -32800)
        time.sleep(0.3)
        other.send('{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": "after"}')
        assert other.receive()["id"] == "after"


def test_a_stream_follows_its_answer_as_notifications(server: tincans.Server) -> None:
    with plain(server) as other:
        other.send('{"jsonrpc": "2.0", "method": "count", "params": [3], "id": "s"}')
        assert other.receive() == {"jsonrpc": "2.0", "result": {"$stream": True}, "id": "s"}
        other.send('{"jsonrpc": "2.0", "method": "$/credit", "params": {"id": "s", "count": 10}}')
        got = [other.receive() for _ in range(4)]
        assert [one["params"].get("value") for one in got] == [0, 1, 2, None]
        assert [one["method"] for one in got] == ["$/item"] * 3 + ["$/end"]
        assert {one["params"]["id"] for one in got} == {"s"}


def test_the_other_side_is_called_too(server: tincans.Server) -> None:
    with plain(server) as other:
        other.send('{"jsonrpc": "2.0", "method": "ask_back", "params": ["double", 21], "id": "q"}')
        question = other.receive()
        assert (question["method"], question["params"]) == ("double", [21])
        other.send(json.dumps({"jsonrpc": "2.0", "result": 42, "id": question["id"]}))
        assert other.receive() == {"jsonrpc": "2.0", "result": 42, "id": "q"}


def test_garbage_around_texts_ends_the_connection_and_no_other(server: tincans.Server) -> None:
    with plain(server) as other, plain(server) as good:
        other.send(b"Content-Length: lots\r\n\r\n{}")
        assert other.stream.recv(10) == b""
        good.send('{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": 1}')
        assert good.receive()["result"] == 2


def test_nonsense_that_is_never_read_about_ends_the_connection(server: tincans.Server) -> None:
    with plain(server) as other, plain(server) as good:
        other.stream.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(200):
                other.stream.sendall(b"nonsense\n" * 2000)
        good.send('{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": 1}')
        assert good.receive()["result"] == 2


LANGUAGE_CLIENT = """
import json, subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def send(**message):
    data = json.dumps({"jsonrpc": "2.0", **message}).encode()
    head = b"Content-Type: application/vscode-jsonrpc; charset=utf-8\\r\\nContent-Length: %d\\r\\n\\r\\n"
    server.stdin.write(head % len(data))
    server.stdin.write(data)
    server.stdin.flush()
def receive():
    size = 0
    while (line := server.stdout.readline().strip()):
        name, _, value = line.partition(b":")
        if name == b"Content-Length": size = int(value)
    return json.loads(server.stdout.read(size))
send(id=1, method="initialize", params={"processId": None, "rootUri": None, "capabilities": {}})
assert receive() == {"jsonrpc": "2.0", "id": 1, "result": {"capabilities": {"hoverProvider": True}}}
send(method="initialized", params={})
send(id="h1", method="hover", params={"line": 3, "text": "\\u00e4"})
assert receive() == {"jsonrpc": "2.0", "id": "h1", "result": {"contents": "line 3 \\u00e4"}}
send(id=2, method="shutdown")
assert receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
send(method="exit")
server.stdin.close()
assert server.wait(10) == 0
print("well")
"""

LANGUAGE_SERVER_OURS = """
import tincans
server = tincans.serve("jsonrpc+stdio:")
@server.expose
def initialize(processId=None, rootUri=None, capabilities=None):
    return {"capabilities": {"hoverProvider": True}}
@server.expose
def initialized(): ...
@server.expose
def hover(line: int, text: str):
    return {"contents": f"line {line} {text}"}
@server.expose
def shutdown(): ...
@server.expose(name="exit")
def leave(): ...
server.run()
"""


def test_a_language_client_speaks_to_our_server_over_its_standard_streams(tmp_path: Path) -> None:
    ours = tmp_path / "ours.py"
    ours.write_text(LANGUAGE_SERVER_OURS)
    command = [sys.executable, "-c", LANGUAGE_CLIENT, sys.executable, str(ours)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "well\n", done.stderr


LANGUAGE_SERVER_THEIRS = """
import json, sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
def send(message):
    data = json.dumps({"jsonrpc": "2.0", **message}).encode()
    stdout.write(b"Content-Length: %d\\r\\n\\r\\n" % len(data) + data); stdout.flush()
while True:
    size = 0
    while (line := stdin.readline().strip()):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length": size = int(value)
    if not size: break
    message = json.loads(stdin.read(size))
    if message["method"] == "initialize":
        send({"method": "window/logMessage", "params": {"type": 3, "message": "hello"}})
        send({"id": message["id"], "result": {"capabilities": message["params"]["capabilities"]}})
    elif "id" not in message: pass
    elif message["method"] == "add":
        send({"id": message["id"], "result": sum(message["params"])})
    else:
        send({"id": message["id"], "error": {"code": -32601, "message": "no " + message["method"]}})
"""


def test_our_client_speaks_to_a_foreign_language_server(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.py"
    theirs.write_text(LANGUAGE_SERVER_THEIRS)
    with tincans.connect(f"jsonrpc+stdio:{sys.executable} {theirs}?framing=content-length") as peer:
        assert peer.call.initialize(capabilities={"x": 1}) == {"capabilities": {"x": 1}}
        assert peer.call.add(2, 5) == 7
        peer.notify.add(1, 1)
        with pytest.raises(NotExposedError, match="no nothing"):
            peer.call.nothing()


def test_our_client_speaks_to_a_foreign_server_with_lines_and_is_called_by_it() -> None:
    def serve(listening: socket.socket) -> None:
        stream, _ = listening.accept()
        with stream:
            other = Plain(stream)
            question = other.receive()
            other.send('{"jsonrpc": "2.0", "method": "double", "params": [21], "id": "their own"}')
            assert other.receive() == {"jsonrpc": "2.0", "result": 42, "id": "their own"}
            other.send(json.dumps({"jsonrpc": "2.0", "result": "done", "id": question["id"]}))
            question = other.receive()
            error = {"code": -32050, "message": "too bad", "data": {"why": 1}}
            other.send(json.dumps({"jsonrpc": "2.0", "error": error, "id": question["id"]}))
            other.receive()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        with tincans.connect(f"jsonrpc+tcp://127.0.0.1:{listening.getsockname()[1]}") as peer:
            peer.expose(lambda n: 2 * n, name="double")
            assert peer.call.work() == "done"
            with pytest.raises(RemoteError, match="too bad"):
                peer.call.work()
            with pytest.raises(DisconnectedError):
                peer.call.work()
        thread.join(10)


def test_unknown_words_of_the_wire_are_refused() -> None:
    with pytest.raises(AddressError, match="framing"):
        tincans.connect("jsonrpc+tcp://127.0.0.1:1?framing=words")


def test_names_of_the_protocol_cannot_be_called(server: tincans.Server) -> None:
    with tincans.connect(server.url) as peer, pytest.raises(UnsendableError, match=r"\$/"):
        peer.call("$/end")


def test_whatever_is_heard_the_conversation_holds() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    assert fuzz(3_000, seed) > 0


@pytest.mark.parametrize("size", [60_000, 65_500, 70_000])
def test_an_answer_over_the_limit_is_an_error_and_not_silence(size: int) -> None:
    with tincans.serve("jsonrpc+tcp://127.0.0.1:0?max_message=65536") as server:

        @server.expose
        def make(size: int) -> str:
            return "x" * size

        with tincans.connect(f"{server.url}?max_message=65536", call_timeout=5) as peer:
            if size < 65_000:
                assert peer.call.make(size) == "x" * size
            else:
                with pytest.raises(tincans.TincansError, match="max_message"):
                    peer.call.make(size)
            assert peer.call.make(3) == "xxx"
