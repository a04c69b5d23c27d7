"""Starting programs for the tests, talking to them, and ending them, also when a test fails half-way.

Rules of this file
- A program says one JSON object a line on its standard output; `said(what)` waits for one, with a deadline.
- Orders go to a program's standard input, one JSON list a line; each is done on a thread of its own over there.
- Times are `time.monotonic()`, which on one machine is the same clock in every program.
- Every program started here ends with the test (`Stage.close`), stopped ones too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import tincans
from tincans.conformance.patience import eventually
from tincans.conformance.plugin import fresh

HERE = Path(__file__).parent
PATIENCE = 10.0
"""Seconds until a test that waits in vain fails; promises have bounds of their own."""

PROMPTLY = 0.1
"""Seconds within which a death is felt, and a deadline kept."""

STDIO = "stdio:{python} " + str(HERE / "alice.py") + " sync stdio:"
METHODS = ["unix:{name}", "{name}", "pipe:{name}", "mq:{name}", "tcp://127.0.0.1:{port}", "json+unix:{name}"]
ALL_METHODS = [*METHODS, STDIO]
FACES = ["sync", "aio"]


def method_id(template: str) -> str:
    """A short name for a method in a test's name."""
    return template.split("{")[0].split("//")[0].rstrip(":") or "local"


def state_of(pid: int) -> str:
    """As the kernel says: R or S for running, T for stopped, Z for dead and not yet asked for, "" for gone."""
    states = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # this one has gone; others may still run
                states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return min(states, default="")


def stop(pid: int) -> None:
    """SIGSTOP; every thread of the program stands still when this returns."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T")


class Order:
    """Something that a program was told to do, and what came of it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.told: dict[str, Any] = {}
        self._done = threading.Event()

    def settle(self, told: dict[str, Any]) -> None:
        """The program's report."""
        self.told = told
        self._done.set()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """The report: `result`, or `error` and `outcome`; `began` and `at`."""
        assert self._done.wait(timeout), f"{self.what} did not end within {timeout:g} s"
        return self.told

    def result(self, *, timeout: float = PATIENCE) -> Any:
        """What it gave; AssertionError when it raised."""
        told = self.wait(timeout=timeout)
        assert told["error"] is None, f"{self.what}: {told['error']}: {told['text']}"
        return told["result"]


class Program:
    """One running program."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None, **options: Any) -> None:
        command = [sys.executable, "-u", *words]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=options.pop("stderr", None),
            text=True,
            process_group=0,
            env={**os.environ, **(environment or {})},
            **options,
        )
        self.lines: list[dict[str, Any]] = []
        self._orders: dict[int, Order] = {}
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # a kill cut it short: it was not said
            told = json.loads(line)
            order = self._orders.pop(told.get("order"), None)
            if order is not None:
                order.settle(told)
            with self._news:
                self.lines.append(told)
                self._news.notify_all()
        with self._news:
            self.lines.append({"said": "(the end)"})
            self._news.notify_all()

    def said(self, what: str, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """The first line in which the program says `what`."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if line.get("said") == what:
                        return line
                    assert line.get("said") != "(the end)", f"it ended without saying {what!r}"
                seen = len(self.lines)
                left = deadline - time.monotonic()
                assert left > 0, f"it did not say {what!r} within {timeout:g} s"
                self._news.wait(left)

    def do(self, what: str, *arguments: Any) -> Order:
        """Give an order; its report comes later."""
        order, number = Order(what), next(self._numbers)
        self._orders[number] = order
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([number, what, *arguments]) + "\n")
        self.process.stdin.flush()
        return order

    def ask(self, what: str, *arguments: Any, timeout: float = PATIENCE) -> Any:
        """Give an order and wait for what it gives."""
        return self.do(what, *arguments).result(timeout=timeout)

    def signal(self, number: int) -> float:
        """Send a signal; the moment just before."""
        now = time.monotonic()
        self.process.send_signal(number)
        return now

    def kill(self) -> float:
        """kill -9; the moment just before."""
        return self.signal(signal.SIGKILL)

    def ended(self, *, timeout: float = PATIENCE) -> int:
        """Its exit code, when it has ended and all that it said has been heard."""
        code = self.process.wait(timeout)
        self._listener.join(timeout)
        return code

    def close(self) -> None:
        """End it with all that it started, and let go of its descriptors."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._listener.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Stage:
    """The programs of one test, and the URL at which they meet."""

    def __init__(self, method: str, face: str) -> None:
        self.url = fresh(method)
        self.face = face
        self.programs: list[Program] = []

    @property
    def is_stdio(self) -> bool:
        """Whether Alice is Bob's child, started by connecting."""
        return self.url.startswith("stdio:")

    def start(self, *words: str, **options: Any) -> Program:
        """Any program."""
        program = Program(*words, **options)
        self.programs.append(program)
        return program

    def alice(self, *more: str, url: str = "", face: str = "", **options: Any) -> Program:
        """Alice, serving."""
        alice = self.start(str(HERE / "alice.py"), face or self.face, url or self.url, *more, **options)
        alice.said("serving")
        return alice

    def bob(self, **options: Any) -> Program:
        """Bob, who knows nobody yet."""
        return self.start(str(HERE / "bob.py"), self.face, **options)

    def pair(self) -> tuple[Program | None, Program, int]:
        """Alice (None when she is Bob's child), Bob connected to her, and her pid."""
        bob = self.bob()  # first, for he knows nobody yet: they start at the same time
        alice = None if self.is_stdio else self.alice()
        bob.ask("connect", self.url)
        return alice, bob, bob.ask("call", "pid")

    def close(self) -> None:
        """End everything, the hard way; then one clean start and stop, which must never be blocked, tidies up."""
        for program in self.programs:
            program.close()
        if self.programs and not self.is_stdio:
            tincans.serve(self.url).close()
