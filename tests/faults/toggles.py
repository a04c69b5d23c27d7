"""A flag is set and cleared again and again while those who hear of it are busy: everybody ends in the right state.

    python tests/faults/toggles.py TOGGLES          (`make faults` does 100000)

Rules of this file
- Who hears: a program of ours that logs, allocates and sleeps all the time, and a shell with two traps.
- Both say at the end what they hold the flag for. Neither reads the file then: a signal must have told them.
"""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import tincans

SHELL = """
dir=$1 state=none done=
trap 'read state version < "$dir/flags/default"' USR1 USR2
: > "$dir/$$"
echo ready
while [ ! -e "$dir/end" ]; do sleep 0.01; done
echo "$state"
"""


def listen(url: str) -> None:
    """Follow the flag under load until standard input ends, then say what it is and how many changes were seen."""
    log = logging.getLogger("busy")
    log.addHandler(logging.StreamHandler(io.StringIO()))
    heard = []
    signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))  # the user's own goes on working
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    state, seen = None, 0

    def follow() -> None:
        nonlocal state, seen
        values = tincans.connect(url)._words._board.values
        assert values is not None
        watch = values.watch("flag:default", timeout=1)
        while True:
            change = watch.receive(timeout=None)
            if change is not None:
                state, seen = change.value, seen + 1

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    print("ready", flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        log.warning("%s", [object() for _ in range(100)])
    time.sleep(0.5)
    print(state, seen, bool(heard), flush=True)


def toggle(toggles: int) -> tuple[str, str]:
    """What both say at the end, of a flag that is set then if `toggles` is odd."""
    with tempfile.TemporaryDirectory() as place:
        url = f"signal:{place}/flags"
        with tincans.connect(url) as peer:
            flag = peer.flag("default")
            ours = _start(sys.executable, __file__, "listen", url)
            shell = _start("sh", "-c", SHELL, "sh", f"{place}/flags")
            for program in (ours, shell):
                assert program.stdout is not None
                assert program.stdout.readline() == "ready\n"
            for number in range(1, toggles + 1):
                flag.set() if number % 2 else flag.clear()
            time.sleep(0.3)
            Path(place, "flags", "end").touch()
            return ours.communicate(timeout=30)[0].strip(), shell.communicate(timeout=30)[0].strip()


def _start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def check(toggles: int) -> str:
    """Both hold the flag for what it is; what our program said."""
    ours, shell = toggle(toggles)
    state, seen, heard = ours.split()
    assert (state, shell) == (("True", "1") if toggles % 2 else ("False", "0")), (ours, shell)
    assert heard == "True", "the program's own signal was not heard"
    return seen


def main(what: str, url: str = "") -> None:
    """The listener, or the whole."""
    if what == "listen":
        listen(url)
        return
    for toggles in (int(what), int(what) + 1):
        began = time.monotonic()
        seen = check(toggles)
        print(f"signal: {toggles:,} toggles in {time.monotonic() - began:.0f} s, {seen} changes seen, the end is right")


if __name__ == "__main__":
    main(*sys.argv[1:])
