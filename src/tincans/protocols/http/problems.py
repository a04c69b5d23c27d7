"""Errors as RFC 9457 problem details with fitting statuses, and back into errors on the calling side.

Rules of this file
- `code` is the error's stable word, `error` its class's name, `parameter` the one that does not fit; a traceback never
  goes to a stranger.
- Pure: no request and no connection is known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from tincans.core.failures import error_of, sayable
from tincans.core.messages import Failure
from tincans.errors import DeniedError, TincansError, UnsupportedError
from tincans.facts import No
from tincans.protocols.http import FACTS

CONTENT_TYPE = b"application/problem+json"
STATUS = {
    "remote": 500,
    "not_exposed": 404,
    "argument": 422,
    "call_timeout": 504,
    "wait_timeout": 504,
    "call_cancelled": 503,
    "too_large": 413,
    "full": 503,
    "closed": 503,
    "lease_lost": 409,
    "unsupported": 501,
}
"""Of an error's code; 500 for every other one."""
BY_STATUS = {403: "denied", 404: "not_exposed", 413: "too_large", 422: "argument", 504: "call_timeout"}
"""What a foreign server's status means when it says no more."""

_PARAMETER = re.compile(r"parameter (\w+)")
_encode = msgspec.json.Encoder().encode


LOCKS = frozenset({"$acquire", "$release"})


def refuse_locks(name: str) -> None:
    """UnsupportedError for a question to the hub about a lock; both ends say it."""
    if name in LOCKS:
        assert isinstance(FACTS.lock, No)
        raise UnsupportedError(
            f"There are no locks over HTTP: {FACTS.lock.reason}. A method that can: {FACTS.lock.instead}."
        )


class Problem(Exception):
    """A request that is answered by an error before any function is called."""

    def __init__(self, status: int, detail: str, code: str = "protocol", **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]


def problem_text(status: int, code: str, detail: str, **more: str) -> bytes:
    """The body.

    >>> problem_text(404, "not_exposed", "No function 'ad' is exposed here")
    b'{"type":"urn:tincans:error:not_exposed","title":"Not Found","status":404,"detail":"No function ...}'
    """
    body: dict[str, Any] = {
        "type": f"urn:tincans:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return _encode(body | more)


def failure_problem(failure: Failure) -> tuple[int, bytes]:
    """The status and the body for a call that failed.

    >>> failure_problem(Failure(1, "argument", "ArgumentError", "add: the parameter b must be int"))[0]
    422
    """
    status = STATUS.get(failure.code, 500)
    more = {"error": sayable(failure.type_name)}
    if failure.code == "argument":
        found = _PARAMETER.search(failure.message)
        more |= {"parameter": found.group(1)} if found else {}
    return status, problem_text(status, failure.code, sayable(failure.message), **more)


def error_from(
    status: int, body: bytes, known: Mapping[str, type[BaseException]], *, url: str, operation: str
) -> TincansError:
    """The error that a server's refusal stands for.

    >>> error_from(500, b"oh", {}, url="http://h", operation="add").type_name
    'HTTP 500'
    """
    if status == 401:
        return DeniedError(f"{url} wants a key: add ?key=SECRET or ?key_file=FILE.", url=url, operation=operation)
    try:
        told = msgspec.json.decode(body)
    except Exception:
        told = None
    if isinstance(told, dict) and isinstance(told.get("code"), str) and isinstance(told.get("error"), str):
        failure = Failure(0, told["code"], told["error"], str(told.get("detail", "")))
    else:
        failure = Failure(0, BY_STATUS.get(status, "remote"), f"HTTP {status}", _detail(status, body, told))
    return error_of(failure, known, url=url, operation=operation)


def _detail(status: int, body: bytes, told: Any) -> str:
    said = told.get("detail") or told.get("message") or told.get("title") if isinstance(told, dict) else None
    text = said if isinstance(said, str) else body[:500].decode("utf-8", "replace")
    phrase = HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else "an unknown status"
    return f"The server answered {status} {phrase}: {text}"
