"""Kill an Alice who is called over a file, again and again: no call is run twice, none that was answered was not run.

    python tests/faults/waiting_calls.py [KILLS]

Rules of this file
- Bobs call, repeat what may be repeated, leave calls, and notify; Alice (marker.py) writes down what she runs.
- A call may end with "outcome unknown", and a notification may be lost with the Alice who had taken it. Nobody hangs.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from two_programs.programs import Program

import tincans
from tincans.errors import DisconnectedError, TincansError

MARKER = Path(__file__).parent / "marker.py"
BOBS = 3
LONGEST_LIFE = 0.6
MOST_LEFT = 5000
"""Calls that are left: of the answers to them the file keeps the newest 10,000."""


class Callers:
    """Bobs on threads, each with a peer of his own, and what became of their calls."""

    def __init__(self, url: str) -> None:
        self.answered: set[int] = set()
        self.left: dict[int, str] = {}
        self.unknown = 0
        self._url = url
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(BOBS)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        with tincans.connect(self._url) as peer:
            while not self._over.is_set():
                try:
                    self._step(peer, next(self._numbers))
                except TincansError:
                    self.unknown += 1

    def _step(self, peer: Any, number: int) -> None:
        kind = number % 4
        if kind == 0:
            assert peer.with_options(timeout=5).call.mark(number) == number
            self.answered.add(number)
        elif kind == 1:
            assert peer.with_options(timeout=10, idempotent=True).call.mark_again(number) == number
            self.answered.add(number)
        elif kind == 2 and len(self.left) < MOST_LEFT:
            self.left[number] = str(peer.with_options(wait=False).call.mark(number))
        else:
            peer.notify.mark(number)

    def finish(self) -> None:
        """Nobody hangs; what was left is answered, or its outcome is unknown."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a caller hangs"
        with tincans.connect(self._url) as peer:
            for number, ticket in self.left.items():
                try:
                    assert peer.ticket(ticket).result(timeout=30) == number
                    self.answered.add(number)
                except DisconnectedError:
                    self.unknown += 1


def fight(kills: int) -> Callers:
    """AssertionError when a promise was broken."""
    with tempfile.TemporaryDirectory(prefix="tincans-faults-") as place:
        url, marks = f"sqlite:{place}/alice.db?sync=normal", Path(place, "marks")
        callers = Callers(url)
        for kill in range(kills + 1):
            alice = Program(str(MARKER), url, str(marks))
            try:
                alice.said("serving", timeout=30)
                if kill == kills:
                    callers.finish()
                else:
                    threading.Event().wait(random.random() * LONGEST_LIFE)  # the moment is to be a random one
            finally:
                alice.kill()
                alice.close()
        tincans.serve(url).close()  # one clean start is never blocked, and tidies up
        check(Counter(marks.read_text().splitlines()), callers.answered)
    return callers


def check(ran: Counter[str], answered: set[int]) -> None:
    """What Alice wrote down against what the Bobs were told."""
    twice = [mark for mark, count in ran.items() if count > 1 and not mark.startswith("again")]
    assert not twice, f"run twice: {twice}"
    never = [number for number in answered if str(number) not in ran and f"again {number}" not in ran]
    assert not never, f"answered, but never run: {never}"


def main() -> None:
    """As many kills as asked for."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    callers = fight(kills)
    print(f"sqlite: {kills} kills of Alice: {len(callers.answered)} calls answered, {callers.unknown} outcomes unknown")
    print("    none run twice, none answered that was not run, nobody hung")


if __name__ == "__main__":
    main()
