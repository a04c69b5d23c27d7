"""HTTP with programs that are not ours, each its own program: curl, Python's xmlrpc, schemathesis, plain servers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.needed import installed

import tincans
from tincans.conformance.plugin import stop
from tincans.errors import ArgumentError, NotExposedError, UnsupportedError

INTEROP = Path(__file__).parent.parent / "interop"
PATIENCE = 600
EXAMPLES = os.environ.get("EXAMPLES", "3")
"""For each operation, made up by schemathesis; `make openapi` asks for many."""


@contextlib.contextmanager
def program(*words: str) -> Iterator[str]:
    """A program of tests/interop; the line that it prints."""
    command = [sys.executable, str(INTEROP / words[0]), *words[1:]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        stop(process)


def said(*command: str, cwd: Path | None = None) -> str:
    """What a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def alice() -> Iterator[str]:
    with program("alice.py", "http://127.0.0.1:0") as url:
        yield url


@pytest.fixture
def curl() -> str:
    return installed("curl", "curl")


def test_curl_calls_a_function(curl: str, alice: str) -> None:
    as_json = ["-H", "Content-Type: application/json"]
    assert said(curl, "-s", *as_json, "-d", '{"a": 2, "b": 5}', f"{alice}/add") == "7"
    assert said(curl, "-s", *as_json, "-d", "[2, 5]", f"{alice}/add") == "7"
    assert said(curl, "-s", f"{alice}/add?a=2&b=5") == "7"
    assert said(curl, "-s", *as_json, "-d", '{"point": {"x": 1}, "dx": 2}', f"{alice}/moved") == '{"x":3.0,"y":0.0}'
    status = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert said(curl, "-s", *status, *as_json, "-d", "{}", f"{alice}/add") == "422"
    assert said(curl, "-s", *status, "-I", f"{alice}/add?a=1") == "200"


def test_curl_follows_a_stream(curl: str, alice: str) -> None:
    told = said(curl, "-s", "-N", "-H", "Content-Type: application/json", "-d", "[3]", f"{alice}/count")
    assert told == "data: 0\n\ndata: 1\n\ndata: 2\n\nevent: end\ndata: null\n\n"


def test_curl_speaks_json_rpc(curl: str, alice: str) -> None:
    text = '[{"jsonrpc":"2.0","method":"add","params":[2,5],"id":1},{"jsonrpc":"2.0","method":"my_function"}]'
    told = said(curl, "-s", "-H", "Content-Type: application/json", "-d", text, f"{alice}/jsonrpc")
    assert json.loads(told) == [{"jsonrpc": "2.0", "result": 7, "id": 1}]


CLIENT = """
import sys, xmlrpc.client
alice = xmlrpc.client.ServerProxy(sys.argv[1], allow_none=True, use_builtin_types=True)
assert alice.add(2, 5) == 7
assert alice.echo([1, 2.5, "<&>", None, True, b"x", {"a": []}]) == [1, 2.5, "<&>", None, True, b"x", {"a": []}]
assert alice.add(2**31 - 1, 1) == 2**31
assert alice.size(b"12345") == 5
assert "add" in alice.system.listMethods() and "system.multicall" in alice.system.listMethods()
assert alice.system.methodHelp("my_function") == "This is my function"
assert alice.system.methodSignature("add") == [["int", "int"], ["int", "int", "int"]]
many = xmlrpc.client.MultiCall(alice)
many.add(1, 2); many.nothing(); many.my_function()
results = many()
assert (results[0], results[2]) == (3, True)
for call, code in [(lambda: results[1], -32601), (lambda: alice.nothing(), -32601), (lambda: alice.add("x"), -32602)]:
    try:
        call()
    except xmlrpc.client.Fault as fault:
        assert fault.faultCode == code, fault
    else:
        raise AssertionError(code)
print("done")
"""


@pytest.mark.parametrize("path", ["", "/RPC2", "/xmlrpc"])
def test_pythons_xml_rpc_client_talks_to_our_server(alice: str, path: str) -> None:
    assert said(sys.executable, "-c", CLIENT, alice + path) == "done\n"


def test_cpythons_own_tests_of_its_xml_rpc_client_pass_against_our_server() -> None:
    with program("alice.py", "--xml-rpc", "http://127.0.0.1:0") as url:
        said(sys.executable, str(INTEROP / "cpython_xmlrpc.py"), url.rpartition(":")[2])


def test_our_client_talks_to_pythons_xml_rpc_server() -> None:
    with program("foreign.py", "xmlrpc") as port, tincans.connect(f"xmlrpc+http://127.0.0.1:{port}") as peer:
        assert peer.call.add(2, 5) == 7
        assert peer.call.echo([1, "ä", None, {"a": b"x"}])[:3] == [1, "ä", None]
        assert "add" in peer.call("system.listMethods")
        with pytest.raises(ValueError, match="invalid literal"):
            peer.call.number("x")
        with pytest.raises(NotExposedError):
            peer.call.nothing()
        with pytest.raises(UnsupportedError, match="position"):
            peer.call.add(2, b=5)


def test_our_client_talks_to_a_foreign_json_rpc_server() -> None:
    with program("foreign.py", "jsonrpc") as port, tincans.connect(f"jsonrpc+http://127.0.0.1:{port}/any") as peer:
        assert peer.call.add(2, 5) == 7
        assert [future.result(10) for future in [peer.start.add(i, 1) for i in range(20)]] == list(range(1, 21))
        with pytest.raises(NotExposedError, match="what"):
            peer.call.nothing()


def test_our_client_calls_the_operations_of_a_foreign_open_api_server() -> None:
    url = "http://127.0.0.1:{}?openapi=/docs/openapi.json"
    with program("foreign.py", "openapi") as port, tincans.connect(url.format(port)) as peer:
        assert peer.call.putPet(5, "Rex") is None
        assert peer.call("get-pet", 5) == {"name": "Rex", "tags": []}
        assert peer.call.get_pet(petId=5, tags=["a", "b"]) == {"name": "Rex", "tags": ["a", "b"]}
        with pytest.raises(NotExposedError, match="no such pet"):
            peer.call.get_pet(6)
        with pytest.raises(NotExposedError, match="putPet"):
            peer.call.nothing()
        with pytest.raises(ArgumentError, match="petId"):
            peer.call.get_pet()
        functions: Any = {each["name"]: each for each in peer.describe()["functions"]}
        assert functions["get-pet"]["summary"] == "One pet."
        with pytest.raises(UnsupportedError, match="foreign"):
            peer.state.get("key")


def test_our_open_api_client_can_read_our_own_document(alice: str) -> None:
    with tincans.connect(f"{alice}?openapi=/openapi.json") as peer:
        assert peer.call.add(2, 5) == peer.call.add(b=5, a=2) == 7
        assert list(peer.call.count(3)) == [0, 1, 2]
        assert peer.call.get_join(words=["a", "b"], by="-") == "a-b"
        with pytest.raises(ArgumentError, match="parameter a"):
            peer.call.add("x", 1)


def test_a_server_without_a_document_says_where_it_was_looked_for() -> None:
    with program("foreign.py", "openapi") as port, pytest.raises(tincans.ProtocolError, match=r"/openapi\.json"):
        tincans.connect(f"http://127.0.0.1:{port}", timeout=3)


def test_an_application_mounted_in_another_is_reached_by_our_clients() -> None:
    with program("mounted.py") as port, tincans.connect(f"http://127.0.0.1:{port}/api") as peer:
        assert peer.call.add(2, 5) == 7
        peer.state["k"] = 1
        assert peer.state["k"] == 1
        with tincans.connect(f"jsonrpc+http://127.0.0.1:{port}/api/jsonrpc") as other:
            assert other.call.add(2, 5) == 7


def test_schemathesis_finds_nothing_wrong(alice: str, tmp_path: Path) -> None:
    checker = Path(sys.executable).with_name("st")
    if not checker.exists():
        pytest.skip("schemathesis is not installed: pip install 'schemathesis>=4'")
    how = ["--max-examples", EXAMPLES, "--checks", "all", "--no-color"]
    said(str(checker), "run", f"{alice}/openapi.json", *how, cwd=tmp_path)
