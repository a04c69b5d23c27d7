"""Questions to a Redis and their answers, by redis-py's own connections and their pool.

Rules of this file
- The one place that imports redis-py; its errors end here and become ours.
- What may safely be said twice (`again`) is repeated when the string is cut, until its time is up. For the rest:
  nothing was sent, or the outcome is unknown, and the error says which.
- While Redis is away a question waits for it, at most GRACE seconds.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

from tincans.errors import ClosedError, DisconnectedError, MissingLibraryError, TincansError, WaitTimeoutError
from tincans.toolkit.redis.line import Place, unreachable
from tincans.toolkit.redis.resp import refusal

GRACE = 5.0
"""Seconds that a question waits for a Redis that is away."""

FIRST_PAUSE, LAST_PAUSE = 0.01, 0.25


class Script:
    """A Lua script: all of it happens, or nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """A pool of connections. All may be called by several threads at the same time, and after a fork."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            import redis
            import redis.exceptions
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingLibraryError(
                f"The method 'redis' needs the library {error.name!r}: pip install 'tincans[redis]'", url=place.url
            ) from error
        self._errors = redis.exceptions
        self._pool = redis.ConnectionPool(
            connection_class=redis.SSLConnection if place.settings["tls"] else redis.Connection,
            retry=Retry(NoBackoff(), 0),
            **_keywords(place),
        )
        self._closed = False

    def ask(self, *words: Any, again: bool = False, timeout: float | None) -> Any:
        """One command and its answer (bytes, int, list or None).

        UnreachableError when Redis is not there, DisconnectedError with its outcome when it went away meanwhile.
        """
        deadline = monotonic() + min(GRACE, GRACE if timeout is None else max(timeout, 0.05))
        pauses = _pauses()
        while True:
            connection = self._connection(deadline, pauses)
            try:
                connection.send_command(*words)
                return connection.read_response()
            except self._errors.ResponseError as error:
                raise self._refusal(error) from error
            except (self._errors.ConnectionError, self._errors.TimeoutError, OSError) as error:
                connection.disconnect()
                self._check_open()
                if not again or monotonic() >= deadline:
                    raise self._cut(error) from error
            except BaseException:
                connection.disconnect()  # an answer may still come
                self._check_open()  # closed by another thread, redis-py fails in many ways
                raise
            finally:
                self._pool.release(connection)

    def run(self, script: Script, keys: list[Any], *args: Any, again: bool = False, timeout: float | None) -> Any:
        """One script and its answer; Redis keeps it by its hash until it restarts."""
        try:
            return self.ask("EVALSHA", script.sha, len(keys), *keys, *args, timeout=timeout, again=again)
        except _ScriptUnknownError:
            return self.ask("EVAL", script.text, len(keys), *keys, *args, timeout=timeout, again=again)

    def _connection(self, deadline: float, pauses: Iterator[float]) -> Any:
        while True:
            self._check_open()
            try:
                return self._pool.get_connection()
            except (self._errors.AuthenticationError, self._errors.ResponseError) as error:
                raise self._refusal(error) from error
            except (self._errors.ConnectionError, self._errors.TimeoutError, OSError) as error:
                pause = next(pauses)
                if monotonic() + pause >= deadline:
                    raise unreachable(self.place, error) from error
                sleep(pause)
            except BaseException:
                self._check_open()  # as in `ask`
                raise

    def _refusal(self, error: Exception) -> TincansError:
        text = str(error)
        if isinstance(error, self._errors.NoScriptError):
            return _ScriptUnknownError(text)
        kinds = (
            (self._errors.AuthenticationError, "NOAUTH"),
            (self._errors.NoPermissionError, "NOPERM"),
            (self._errors.BusyLoadingError, "LOADING"),
            (self._errors.OutOfMemoryError, "OOM"),
            (self._errors.ReadOnlyError, "READONLY"),
        )
        for kind, word in kinds:  # redis-py takes the first word off
            if isinstance(error, kind) and not text.startswith(word):
                text = f"{word} {text}"
                break
        return refusal(text, self.place.url)

    def _cut(self, error: Exception) -> TincansError:
        if isinstance(error, self._errors.TimeoutError):
            return WaitTimeoutError(
                f"Redis at {self.place.host}:{self.place.port} did not answer within {self.place.timeout:g} s.",
                url=self.place.url,
            )
        return DisconnectedError(
            f"Redis at {self.place.host}:{self.place.port} went away: {error}. What was asked may or may not have"
            " happened (outcome unknown).",
            outcome="unknown",
            url=self.place.url,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("This was closed on this side; connect again to go on.", url=self.place.url)

    def close(self) -> None:
        """Close every connection. May be called twice; who waits gets ClosedError."""
        self._closed = True
        self._pool.disconnect()


class _ScriptUnknownError(TincansError):
    """Redis has not seen this script since it started."""


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, LAST_PAUSE)


def _keywords(place: Place) -> dict[str, Any]:
    """What redis-py wants to know to connect."""
    keywords: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "db": place.database,
        "username": place.user or None,
        "password": place.password or None,
        "socket_timeout": place.timeout,
        "socket_connect_timeout": place.timeout,
        "socket_keepalive": True,
        "protocol": 2,
    }
    settings = place.settings
    if settings["tls"]:
        keywords |= {
            "ssl_ca_certs": settings["ca"] or None,
            "ssl_certfile": settings["cert"] or None,
            "ssl_keyfile": settings["cert_key"] or settings["cert"] or None,
            "ssl_cert_reqs": "required" if settings["tls_verify"] else "none",
            "ssl_check_hostname": settings["tls_verify"],
        }
    return keywords
