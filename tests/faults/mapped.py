"""Two programs write, two read, one of the writers is killed again and again: no value is ever torn.

    python tests/faults/mapped.py METHOD SECONDS          (`make faults` does 60 s of `mmap:` and `text+mmap:`)

Rules of this file
- Every value says by itself whether it is whole. A reader stops at the first that is not, and at a version that went
  back; it prints how many it has seen.
- Writers and readers are programs of their own: `mapped.py METHOD write NUMBER` and `mapped.py METHOD read SECONDS`.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import tempfile
import time
from typing import Any

import tincans

LENGTHS = (1, 40, 300, 1200, 3000)
KEY = "line"


def value(writer: int, number: int) -> str:
    """A text that is whole or not: its parts repeat its number."""
    word = f"{writer}.{number}"
    return "-".join([word] * max(1, LENGTHS[number % len(LENGTHS)] // (len(word) + 1)))


def is_whole(text: Any) -> bool:
    """Whether it is one that `value` made."""
    writer, _, number = str(text).partition("-")[0].partition(".")
    return number.isdigit() and text == value(int(writer), int(number))


def write(url: str, writer: int) -> None:
    """Until killed."""
    state = tincans.connect(url).state
    for number in itertools.count(1):
        state[KEY] = value(writer, number)


def read(url: str, seconds: float) -> None:
    """For some seconds, then say how many different values were seen."""
    values = tincans.connect(url)._words._board.values
    assert values is not None
    over, seen, last = time.monotonic() + seconds, 0, 0
    while time.monotonic() < over:
        change = values.get(KEY, timeout=1)
        if change is None:
            continue
        assert is_whole(change.value), f"torn: {change.value[:200]!r}"
        assert change.version >= last, f"version {change.version} came after {last}"
        seen += change.version != last
        last = change.version
    print(seen, flush=True)


def soak(method: str, seconds: float) -> int:
    """How many values both readers have seen, all of them whole."""
    with tempfile.TemporaryDirectory() as place:
        url = method.format(dir=place)
        with tincans.connect(url) as peer:
            peer.state[KEY] = value(0, 0)
        readers = [_start(url, "read", str(seconds), stdout=subprocess.PIPE) for _ in range(2)]
        writers = [_start(url, "write", str(number)) for number in (1, 2)]
        try:
            number = 3
            while any(reader.poll() is None for reader in readers):
                time.sleep(random.uniform(0.2, 0.6))
                writers[0].kill()
                writers[0].wait()
                writers[0] = _start(url, "write", str(number))
                number += 1
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
        outputs = [reader.communicate(timeout=10)[0] for reader in readers]
    assert not any(reader.returncode for reader in readers), f"a reader found a fault: {outputs}"
    return sum(map(int, outputs))


def _start(url: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, url, *words], text=True, **options)


def main(method: str, what: str, number: str = "") -> None:
    """Either a whole soak, or one of its programs."""
    if what == "write":
        write(method, int(number))
    elif what == "read":
        read(method, float(number))
    else:
        print(f"{method}: {soak(method, float(what)):,} values were seen in {what} s, none of them torn")


if __name__ == "__main__":
    main(*sys.argv[1:])
