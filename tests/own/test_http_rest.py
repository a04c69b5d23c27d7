"""REST over HTTP: what a program that is not ours sends, and what it gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from http_stage import Stage, serving

import tincans
from tincans.conformance.patience import eventually


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with serving() as made:
        yield made


def test_named_and_positional_arguments_are_json(stage: Stage) -> None:
    assert stage.ask("POST", "/add", {"a": 2, "b": 5}).json == 7
    assert stage.ask("POST", "/add", [2, 5]).json == 7
    assert stage.ask("POST", "/add", {"a": 2}).json == 12


def test_a_result_is_json_with_its_type(stage: Stage) -> None:
    answer = stage.ask("POST", "/echo", {"value": {"x": [1, None, "ä"]}})
    assert (answer.status, answer.headers["content-type"], answer.json) == (
        200,
        "application/json",
        {"x": [1, None, "ä"]},
    )


def test_a_safe_function_is_asked_by_get(stage: Stage) -> None:
    assert stage.ask("GET", "/add?a=2&b=5").json == 7
    assert stage.ask("GET", "/join?words=x&words=5&by=%2C&upper=true").json == "X,5"


def test_head_is_get_without_a_body(stage: Stage) -> None:
    answer = stage.ask("HEAD", "/add?a=2&b=5")
    assert (answer.status, answer.body) == (200, b"")


def test_a_function_that_changes_something_is_not_asked_by_get(stage: Stage) -> None:
    answer = stage.ask("GET", "/echo?value=1")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/ad", {}, 404, "not_exposed"),
        ("/__class__", {}, 404, "not_exposed"),
        ("/$put", {}, 404, "not_exposed"),
        ("/add", {"a": 1, "b": "x"}, 422, "argument"),
        ("/add", {}, 422, "argument"),
        ("/add", [1, 2, 3], 422, "argument"),
        ("/add", {"a": 1, "c": 2}, 422, "argument"),
        ("/add", b"{", 400, "protocol"),
        ("/add", b"7", 400, "protocol"),
        ("/fail", {"text": "too bad"}, 500, "remote"),
    ],
)
def test_an_error_is_a_problem_with_a_fitting_status(
    stage: Stage, path: str, body: Any, status: int, code: str
) -> None:
    answer = stage.ask("POST", path, body)
    assert (answer.status, answer.json["status"], answer.json["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_wrong_argument_is_named(stage: Stage) -> None:
    assert stage.ask("POST", "/add", {"a": 1, "b": "x"}).json["parameter"] == "b"


def test_an_exception_is_told_without_its_traceback(stage: Stage) -> None:
    answer = stage.ask("POST", "/fail", {"text": "too bad"})
    assert (answer.json["error"], answer.json["detail"]) == ("ValueError", "too bad")
    assert "Traceback" not in answer.body.decode()


def test_a_call_that_takes_too_long_is_504(stage: Stage) -> None:
    assert stage.ask("POST", "/sleep", {"seconds": 3}, Tincans_Timeout="0.2").status == 504


def test_arguments_of_another_type_than_json_are_415(stage: Stage) -> None:
    assert stage.ask("POST", "/add", b"a=2&b=5", Content_Type="application/x-www-form-urlencoded").status == 415


def test_a_generator_streams_as_events(stage: Stage) -> None:
    answer = stage.ask("POST", "/count", {"n": 3})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.decode() == "data: 0\n\ndata: 1\n\ndata: 2\n\nevent: end\ndata: null\n\n"


def test_an_endless_stream_is_held_back_and_closed_when_the_client_goes(stage: Stage) -> None:
    with stage.connected() as stream:
        stream.sendall(b"POST /count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        stream.sendall(b'Content-Length: 14\r\n\r\n{"n":10000000}')
        heard = stream.recv(1000)
        assert heard.startswith(b"HTTP/1.1 200")
        while b"data: 0" not in heard:  # a generator that has not begun has nothing to clean up
            heard += stream.recv(1000)
        before = len(stage.closed)
    eventually(lambda: len(stage.closed) == before + 1)


def test_published_values_come_as_events(stage: Stage) -> None:
    with stage.connected() as stream:
        stream.sendall(b"GET /-/events?topic=news.* HTTP/1.1\r\nHost: localhost\r\n\r\n")
        heard = stream.recv(1000)
        while b"event: news.today" not in heard:
            stage.server.publish("news.today", {"n": 1})
            heard += stream.recv(1000)
    assert b'event: news.today\ndata: {"n":1}\n\n' in heard


def test_the_document_describes_the_functions(stage: Stage) -> None:
    document = stage.ask("GET", "/openapi.json").json
    post = document["paths"]["/add"]["post"]
    assert (document["openapi"], post["operationId"], post["summary"]) == ("3.1.0", "add", "Add two numbers.")
    by_name = post["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0]
    assert by_name["properties"]["a"] == {"type": "integer", "description": "the first one"}
    assert by_name["required"] == ["a"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert [each["value"] for each in examples.values()] == [[2, 5]]
    assert "get" in document["paths"]["/add"]
    assert "get" not in document["paths"]["/echo"]


def test_the_page_shows_the_functions_and_fetches_nothing(stage: Stage) -> None:
    answer = stage.ask("GET", "/")
    assert "add(a: int, b: int = 10) -&gt; int" in answer.body.decode()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert b"http" not in answer.body
    assert b"<script" not in answer.body


def test_bytes_come_back_as_they_were_to_our_own_clients(stage: Stage) -> None:
    with tincans.connect(stage.url) as peer:
        assert peer.call.echo((b"\x00\xff", (1, 2))) == (b"\x00\xff", (1, 2))
    assert stage.ask("POST", "/echo", {"value": "x"}).json == "x"


def test_quick_functions_stay_right_when_they_run_on_the_loop(stage: Stage) -> None:
    with tincans.connect(stage.url) as peer:
        assert [peer.call.add(i, 1) for i in range(200)] == list(range(1, 201))
        with pytest.raises(tincans.ArgumentError):
            peer.call.add("x")


def test_a_function_that_turned_slow_never_runs_on_the_loop_again(stage: Stage) -> None:
    with tincans.connect(stage.url) as peer:
        for _ in range(50):
            peer.call.sleep(0)
        peer.call.sleep(0.05)
        slow = peer.start.sleep(1)
        eventually(lambda: peer.call.add(1, 1) == 2)
        assert not slow.done()
        assert slow.result() == "awake"


def test_an_application_can_be_mounted_in_another(stage: Stage) -> None:
    app = stage.server.asgi()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"[2, 5]", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "root_path": "/api",
        "path": "/api/add",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
    }
    import asyncio

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == 7
