"""A paper with its examples: what a reader would type, done in an empty directory.

Rules of this file
- A Python block that begins with `# NAME.py` is that file; with `# NAME.py, above run()` it goes there. Any other
  Python block is a whole program, and is run.
- A shell block is run as it stands; the `text` block that follows is what it prints. Its background programs are
  ended afterwards, as a reader does.
- Ports and the place of a Redis are put in anew, so that nothing of this machine is in the way.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_FENCE = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"# ([\w-]+\.py)(?:, (above run\(\)))?(?:,.*)?$", re.MULTILINE)
_PORTS = ("8000", "9000", "9001")
_PATIENCE = 60
_START = "python alice.py &\n"
# Bob waits some seconds for Alice; on a machine that is very busy the reader gives her the time she needs.
_STARTED = f'{_START}until [ -e "$TINCANS_RUNTIME_DIR/alice.local" ] || ! kill -0 $!; do sleep 0.02; done\n'


@dataclass(frozen=True)
class Block:
    """One example."""

    kind: str
    text: str


def sections(text: str) -> list[tuple[str, list[Block]]]:
    """The examples under each `##` heading, those before the first under ""."""
    found = []
    for part in re.split(r"^## ", f"\n{text}", flags=re.MULTILINE):
        heading = part.partition("\n")[0].strip()
        blocks = [Block(kind, body) for kind, body in _FENCE.findall(part)]
        if blocks:
            found.append((heading, blocks))
    return found


class Reader:
    """Somebody who does what a paper says, in one directory."""

    def __init__(self, place: Path, *, redis: str = "") -> None:
        self.place = place / "reader"
        self.place.mkdir()
        self._redis = redis
        self._ports = {port: _free_port() for port in _PORTS}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {
            **os.environ,
            "PATH": path,
            "PYTHONUNBUFFERED": "1",
            "TINCANS_RUNTIME_DIR": str(place / "run"),
        }

    def follow(self, blocks: list[Block]) -> None:
        """Do each block; AssertionError with what was said when something is not as the paper says."""
        for block, after in zip(blocks, [*blocks[1:], Block("", "")], strict=True):
            expected = after.text if after.kind == "text" else None
            if block.kind == "python":
                self._python(self._here(block.text))
            elif block.kind == "sh":
                self._shell(self._here(block.text), expected)

    def _here(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"(?<=127\.0\.0\.1)(:|\", ){port}\b", rf"\g<1>{free}", text)
        if self._redis:
            host, _, port = self._redis.rpartition(":")
            text = text.replace("redis://localhost", f"redis://{self._redis}")
            text = re.sub(r"^redis-cli", f"redis-cli -h {host} -p {port}", text, flags=re.MULTILINE)
        return text

    def _python(self, text: str) -> None:
        place = _PLACE.match(text)
        if place is None:
            self._run([sys.executable, "-c", text], None)
            return
        path, where = self.place / place[1], place[2]
        if where is None:
            path.write_text(text)
            return
        before, run, after = path.read_text().partition("alice.run()")
        assert run, f"{path.name} has no alice.run()"
        path.write_text(f"{before}{text.partition(chr(10))[2]}\n\n{run}{after}")

    def _shell(self, text: str, expected: str | None) -> None:
        self._run(["sh", "-ec", text.replace(_START, _STARTED)], expected)

    def _run(self, command: list[str], expected: str | None) -> None:
        with (self.place / ".stdout").open("w+b") as out, (self.place / ".stderr").open("w+b") as err:
            program = subprocess.Popen(
                command, cwd=self.place, env=self._environment, stdout=out, stderr=err, start_new_session=True
            )
            try:
                code = program.wait(_PATIENCE)
            finally:
                _end_group(program.pid)
                program.wait()
            out.seek(0), err.seek(0)
            said, complaints = out.read().decode(), err.read().decode()
        assert code == 0, f"{command[-1]}\n-- printed --\n{said}\n-- stderr --\n{complaints}"
        if expected is not None:
            assert _fits(said, expected), (
                f"{command[-1]}\n-- printed --\n{said}\n-- expected --\n{expected}\n{complaints}"
            )


def _fits(said: str, expected: str) -> bool:
    """Whether it is what was expected; `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


def _end_group(leader: int) -> None:
    """End what a block left running in the background, and wait until all of it is gone."""
    deadline = time.monotonic() + 10
    while _runs(leader):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.02)


def _runs(leader: int) -> bool:
    """Whether anybody of the group does; who has ended stays on the list until somebody asks, and counts no more."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(pid) == leader and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _free_port() -> str:
    with socket.socket() as stream:
        stream.bind(("127.0.0.1", 0))
        return str(stream.getsockname()[1])


def programs_named_in(blocks: list[Block]) -> Iterator[str]:
    """Programs of the system that the shell blocks use and that need not be there."""
    for block in blocks:
        for name in ("curl", "flock", "openssl", "redis-cli"):
            if block.kind == "sh" and re.search(rf"\b{name}\b", block.text):
                yield name
