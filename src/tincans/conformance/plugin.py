"""The pytest side: which methods to run on, and Alice, the serving program, once for each.

Rules of this file
- A method is a URL with `{name}` for a fresh name (and `{port}` for a free port); `--method` adds to what the
  project lists in `tests/methods.py`.
- Every program started here is ended here, also when the run is interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import tincans
from tincans.conformance import faces
from tincans.conformance.service import Alice, expose_all
from tincans.facts import Facts, No
from tincans.finder import method_of

_numbers = itertools.count(1)
_PATIENCE = 20.0
"""Seconds to wait for Alice, who starts with each connection where she is Bob's child, slowly on a busy machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--method URL`, as often as wanted."""
    parser.addoption("--method", action="append", default=[], help="run the conformance suite on this URL")


def _methods(config: pytest.Config) -> list[str]:
    given: list[str] = config.getoption("--method")
    if given:
        return given
    try:
        listed: list[str] = importlib.import_module("methods").METHODS
    except ModuleNotFoundError:
        return ["{name}"]
    return listed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test once for each method, and for each face that it uses."""
    if "tincans.conformance" not in metafunc.module.__name__:
        return
    if "method" in metafunc.fixturenames:
        methods = _methods(metafunc.config)
        metafunc.parametrize(
            "method", methods, scope="session", ids=[m.split("{")[0].rstrip(":") or "local" for m in methods]
        )
    if "face" in metafunc.fixturenames:
        metafunc.parametrize("face", ["sync", "aio"])


class Method:
    """One method under test: its facts, and Alice who serves it."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.url = fresh(template)
        method = method_of(self.url)
        self.address = method.address
        self.facts: Facts = method.facts
        self.shared = self.address.method != "stdio"
        """Whether all connections reach the same Alice."""
        self._program: subprocess.Popen[str] | None = None
        self._server: Any = None
        self._serve()

    def _serve(self) -> None:
        if not self.shared or isinstance(self.facts.call, No):
            return  # connecting starts the program, or there is none to start
        if self.facts.reach == "one program":
            self._server = tincans.serve(self.url)
            expose_all(self._server, Alice())
            self.url = self._server.url
        else:
            self._program, self.url = start_alice(self.url)

    def connect(self, **options: Any) -> Any:
        """A sync peer."""
        return tincans.connect(self.url, **{"timeout": _PATIENCE, **options})

    def connect_to(self, url: str) -> Any:
        """A sync peer at another form of the address."""
        return tincans.connect(url)

    def close(self) -> None:
        """End Alice."""
        if self._program is not None:
            stop(self._program)
        if self._server is not None:
            self._server.close()


def fresh(template: str) -> str:
    """A URL of the template's kind that nobody uses."""
    port = ""
    if "{port}" in template:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
    name = f"conformance-{os.getpid()}-{next(_numbers)}"
    return template.format_map(_Places(name=name, port=port, python=sys.executable))


class _Places(dict[str, str]):
    """What stands for the words in a template: `{dir}` is a fresh directory, and a word in `methods.SERVERS` the place
    of a server that is started when it is first needed."""

    def __missing__(self, word: str) -> str:
        if word == "dir":
            return _directories.fresh()
        return _servers.place(word)


class _Directories:
    """Fresh directories, gone when the run ends."""

    def __init__(self) -> None:
        self._made: list[tempfile.TemporaryDirectory[str]] = []

    def fresh(self) -> str:
        self._made.append(tempfile.TemporaryDirectory(prefix="tincans-conformance-"))
        return self._made[-1].name

    def close(self) -> None:
        while self._made:
            self._made.pop().cleanup()


class _Servers:
    """Servers that methods need, each started once, by the context managers in `methods.SERVERS`."""

    def __init__(self) -> None:
        self._running: dict[str, str] = {}
        self._stack = contextlib.ExitStack()

    def place(self, word: str) -> str:
        """Where it listens. A server that is not installed skips the test by name; not in CI, which has all."""
        if word not in self._running:
            start = importlib.import_module("methods").SERVERS[word]
            try:
                self._running[word] = self._stack.enter_context(start())
            except FileNotFoundError as missing:
                if os.environ.get("CI"):
                    raise
                pytest.skip(str(missing))
        return self._running[word]

    def close(self) -> None:
        self._running.clear()
        self._stack.close()


_directories = _Directories()
_servers = _Servers()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Before anybody looks for programs that were left behind."""
    _servers.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing of ours runs, or lies about, when the run is over."""
    _servers.close()
    _directories.close()


def start_alice(*urls: str, keep: str | None = None, program: str = "tincans.conformance.program") -> Any:
    """Start Alice as a program; the process, and the first URL to connect to."""
    command = [sys.executable, "-m", program, *urls, *(["--keep", keep] if keep else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        process.wait(10)
        raise RuntimeError(f"Alice did not start: {' '.join(command)} (exit code {process.returncode})")
    return process, _secrets_back(line, urls[0])


def _secrets_back(shown: str, given: str) -> str:
    """An address as shown masks its secrets; take them from the one that was given."""
    query = given.partition("?")[2]
    return shown.partition("?")[0] + (f"?{query}" if query else "")


def stop(process: subprocess.Popen[str]) -> None:
    """End a program, politely first, and reap it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture(scope="session")
def running(method: str) -> Iterator[Method]:
    """The method under test, with Alice serving it."""
    under_test = Method(method)
    yield under_test
    under_test.close()


@pytest.fixture(scope="session")
def event_loop_thread() -> Iterator[faces.Loop]:
    """The loop that drives the async face."""
    loop = faces.Loop()
    yield loop
    loop.close()


@pytest.fixture
def alice(running: Method, face: str, event_loop_thread: faces.Loop) -> Iterator[Any]:
    """Bob's view of Alice, over a connection of its own."""
    peer = running.connect() if face == "sync" else faces.connect(event_loop_thread, running.url, timeout=_PATIENCE)
    yield peer
    peer.close()


@pytest.fixture
def peer(running: Method) -> Iterator[Any]:
    """The sync face only, for what does not depend on the face."""
    with running.connect() as connected:
        yield connected


@pytest.fixture
def facts(running: Method) -> Facts:
    """What the method says of itself."""
    return running.facts


@pytest.fixture
def name() -> str:
    """A name for a queue, topic, key, flag or lock that nobody else uses."""
    return f"n{next(_numbers)}"
