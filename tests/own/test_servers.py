"""The servers that tests start end with the test run, however it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from servers.needed import needed
from servers.redis import redis_server

RUN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from servers.redis import redis_server
with redis_server() as server:
    print(server.pid, server._directory, flush=True)
    time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Who has ended may stay on the list until somebody asks for it: nobody waits for that."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_killing_the_test_run_ends_its_server_and_removes_its_directory() -> None:
    with needed(redis_server):
        pass  # one is installed
    words = [sys.executable, "-c", RUN, str(Path(__file__).parents[1])]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid, directory = run.stdout.readline().split()
    assert runs(int(pid))
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 15
    while runs(int(pid)) or Path(directory).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
