"""One contestant with its programs: started when first needed, told what to do, watched from outside.

Rules of this file
- One Alice, and as many Bobs as a measure needs. What fails ends them all; the next measure starts them afresh.
- Processor time and memory are read from the kernel, not asked of the programs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from tincans.bench import leftovers
from tincans.bench.contestant import Contestant
from tincans.bench.line_up import AT, RUNNING, word_for
from tincans.bench.programs import Program, end, runtime_of


class Stage:
    """A contestant's programs and their place, a directory that goes with them."""

    def __init__(
        self, contestant: Contestant, root: Path, *, number: int, broker: tuple[int, int] | None, word: str = ""
    ) -> None:
        self.contestant = contestant
        self._number = number
        self.next_number = 1
        """That of the next published message."""
        self._word = word or word_for(contestant)
        self._root = root
        self._broker = broker
        self._alice: Program | None = None
        self._bobs: list[Program] = []
        self._times = 0
        self._others: list[int] = []
        self._has_producer = False

    @property
    def alice(self) -> Program:
        """The serving program, ready."""
        alice = self.wake()
        alice.started()
        return alice

    def wake(self) -> Program:
        """The serving program, started but perhaps not ready yet."""
        if self._alice is None:
            self._times += 1
            self.place.mkdir(parents=True)
            if self._broker is not None:
                (self.place / "broker").write_text(str(self._broker[0]))
            self._alice = self._program("alice", 0)
        return self._alice

    @property
    def place(self) -> Path:
        """Where its programs run. The name is short, for the address of a Unix socket is."""
        return self._root / f"{self._number}-{self._times}"

    def bobs(self, count: int) -> list[Program]:
        """So many clients, ready; those that are new start at the same time."""
        self.alice  # noqa: B018 (they connect to her)
        first = not self._bobs
        self._bobs += [self._program("bob", number) for number in range(len(self._bobs), count)]
        for bob in self._bobs:
            bob.started()
        if first:
            told = self._bobs[0].ask("others")
            self._others, self._has_producer = list(told["pids"]), told["produces"]
        return self._bobs[:count]

    @property
    def bob(self) -> Program:
        """The first client."""
        return self.bobs(1)[0]

    @property
    def publisher(self) -> Program:
        """Who publishes: Alice, or a client of its own where the server is not ours to tell."""
        return self.bobs(6)[5] if self._word.startswith(RUNNING) else self.alice

    @property
    def putter(self) -> Program:
        """Who puts what the first client takes: the second one, or the first one's own child."""
        return self.bob if self._has_producer else self.bobs(2)[1]

    def _program(self, role: str, number: int) -> Program:
        quiet = not self._word.startswith((AT, RUNNING))
        return Program(role, self._word, self.place, number, quiet=quiet)

    def processor_time(self) -> float:
        """Seconds that Alice, the first Bob and who works for them have used."""
        pids = [self.alice.pid, self.bob.pid, *self._others]
        if self._broker is not None:
            pids.append(self._broker[1])
        return sum(processor_time(pid) for pid in pids)

    def memory(self) -> float:
        """KiB of Alice's own memory, and her share of what she has in common with others."""
        return proportional_memory(self.alice.pid)

    def end(self) -> None:
        """End all programs and take the place away."""
        end([*self._bobs, *([self._alice] if self._alice else [])])
        if self._alice is not None:
            leftovers.without_queues(runtime_of(self.place))
            shutil.rmtree(self.place, ignore_errors=True)
        self._alice, self._bobs, self._others = None, [], []


def processor_time(pid: int) -> float:
    """Seconds that a program has used so far, to the nanosecond.

    >>> import os
    >>> processor_time(os.getpid()) > 0
    True
    """
    # The kernel's clock of another process: CLOCK_PROCESS_CPUTIME_ID for a pid, include/linux/posix-timers.h.
    return time.clock_gettime(~pid << 3 | 2)


def proportional_memory(pid: int) -> float:
    """KiB, shared pages divided among those who share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise ValueError(f"no Pss of {pid}")


def all_ended(stages: Sequence[Stage]) -> None:
    """End every one of them, also when one makes trouble."""
    trouble: list[Exception] = []
    for stage in stages:
        try:
            stage.end()
        except Exception as error:
            trouble.append(error)
    if trouble:
        raise trouble[0]
