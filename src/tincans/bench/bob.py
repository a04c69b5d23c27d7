"""Bob, one client program of a contestant: `python -m tincans.bench.bob NAME PLACE`. He measures and tells the figures.

Rules of this file
- He is told what to do by lines of JSON on stdin, answers each with one line on stdout, and ends when stdin ends.
- A time is `perf_counter_ns`, which is one clock for all programs of a machine.
- Each order has a budget in seconds; a slow contestant does less in it, nobody does it longer.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from tincans.bench import crowd, line_up
from tincans.bench.contestant import PATIENCE, Client, Contestant, times_of
from tincans.bench.listening import Orders

FEWEST, MOST = 20, 50_000
SLOWEST_LAP = 1.0
"""Seconds: a slow contestant has fewer calls under way than the plan says."""
Answer = dict[str, Any]


class Bob:
    """A connected client, and what it has opened on demand."""

    def __init__(self, contestant: Contestant, client: Client, place: Path) -> None:
        self._contestant = contestant
        self._client: Any = client
        self._place = place
        self._receive: Callable[[], Any] | None = None
        self._open = ExitStack()
        self._crowd = ExitStack()
        self._run: Any = None

    def obey(self, order: dict[str, Any]) -> Answer:
        """One order; its "do" is a method of this class."""
        arguments = {name: value for name, value in order.items() if name != "do"}
        answer: Answer = getattr(self, order["do"])(**arguments)
        return answer

    def close(self) -> None:
        """All that was opened."""
        self._crowd.close()
        self._open.close()

    def others(self) -> Answer:
        """The programs that work for this one."""
        return {"pids": self._client.others(), "produces": self._client.produce is not None}

    def times(self, seconds: float) -> Answer:
        """Calls one after the other."""
        times = self._client.times or (lambda count: times_of(self._client.call, count))
        answer = self._client.call(2, 5)
        if not sane(answer):
            raise ValueError(f"the call was answered by {answer!r}")
        few = sorted(times(FEWEST))
        count = min(MOST, max(FEWEST, int(seconds * 1e9 / (few[len(few) // 2] + 1))))
        return {**spread(times(count)), "count": count}

    def pipeline(self, seconds: float, lap: int) -> Answer:
        """Calls with many under way, in laps."""
        began = perf_counter_ns()
        self._client.pipeline(FEWEST)
        each = (perf_counter_ns() - began) / FEWEST
        lap = max(FEWEST, min(lap, int(SLOWEST_LAP * 1e9 / each)))
        until = perf_counter_ns() + int(seconds * 1e9)
        rates: list[float] = []
        while not rates or perf_counter_ns() < until:
            began = perf_counter_ns()
            self._client.pipeline(lap)
            rates.append(lap * 1e9 / (perf_counter_ns() - began))
        return {"rate": statistics.median(rates), "count": lap * len(rates)}

    def deliver(self, size: int, seconds: float, shared: bool = False) -> Answer:
        """A payload there, and a word that it arrived."""
        import numpy

        array = numpy.arange(size, dtype=numpy.uint8)
        payload = (self._client.shared if shared else self._client.prepare)(array)
        del array
        for _ in range(2):  # memory that is used again is first touched here
            if self._client.deliver(payload) != size:
                raise ValueError("the other program did not get all of it")
        return _timed(lambda: self._client.deliver(payload), seconds, fewest=2)

    def look(self, seconds: float) -> Answer:
        """One value, read again and again."""
        return self._again(self._client.look, seconds)

    def turn(self, seconds: float, size: int) -> Answer:
        """An item put, taken and acknowledged, one after the other."""

        def turn() -> None:
            self._client.put(item)
            self._client.take()

        item = bytes(size)
        return self._again(turn, seconds)

    def _again(self, function: Callable[[], object], seconds: float) -> Answer:
        for _ in range(FEWEST):
            function()
        return _timed(function, seconds, fewest=FEWEST)

    def produce(self, count: int, size: int) -> Answer:
        """Put items as fast as they are taken in."""
        began = perf_counter_ns()
        if self._client.produce is not None:
            self._client.produce(count, size)
        else:
            item = bytes(size)
            for _ in range(count):
                self._client.put(item)
        return {"began": began, "ended": perf_counter_ns()}

    def consume(self, count: int) -> Answer:
        """Take and acknowledge so many items."""
        for _ in range(count):
            self._client.take()
        return {"ended": perf_counter_ns()}

    def subscribe(self) -> Answer:
        """From now on."""
        if self._receive is None:
            self._receive = self._open.enter_context(self._client.subscribe())
        return {}

    def unsubscribe(self) -> Answer:
        """No more."""
        self._open.close()
        self._receive = None
        return {}

    def hear(self, first: int, count: int, silences: int = 1, messages: int = 1) -> Answer:
        """Messages with the numbers from `first` on, until the last of them came, and at least so many messages, or
        nothing came so many times."""
        receive, last, heard = self._receive, first + count - 1, 0
        assert receive is not None
        while silences:
            message = receive()
            if message is None:
                silences -= 1
                continue
            number = int.from_bytes(memoryview(message)[:8], "little")
            heard += number >= first
            if number >= last and heard >= messages:
                return {"heard": heard, "ended": perf_counter_ns()}
        return {"heard": heard, "ended": perf_counter_ns() - int(PATIENCE * 1e9)}

    def publish(self, first: int, count: int, size: int) -> Answer:
        """As Alice would, for a server that is not ours to tell."""
        from tincans.bench import alice

        return alice.publish(self._client.publish, {"first": first, "count": count, "size": size})

    def gather(self, clients: int) -> Answer:
        """So many clients more, connected; each has made a call."""
        how = self._contestant.crowd or crowd.of_threads(self._contestant)
        self._run = self._crowd.enter_context(how(self._place, clients))
        return {}

    def run(self, seconds: float) -> Answer:
        """All of them call for so long."""
        return {"rates": self._run(seconds)}

    def scatter(self) -> Answer:
        """They leave."""
        self._crowd.close()
        return {}


def _timed(function: Callable[[], object], seconds: float, *, fewest: int) -> Answer:
    """Again and again for so long, and at least so often."""
    taken: list[int] = []
    until = perf_counter_ns() + int(seconds * 1e9)
    while len(taken) < fewest or (perf_counter_ns() < until and len(taken) < MOST):
        began = perf_counter_ns()
        function()
        taken.append(perf_counter_ns() - began)
    return {**spread(taken), "count": len(taken)}


def sane(answer: Any) -> bool:
    """A sum, or an echo."""
    return answer == 7 or answer == [2, 5] or isinstance(answer, list | bytes)


def spread(taken: list[int]) -> Answer:
    """What is told of many times, in microseconds.

    >>> spread([1000, 3000, 2000])
    {'min': 1.0, 'median': 2.0, 'p99': 3.0}
    """
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"min": ordered[0] / 1000, "median": statistics.median(ordered) / 1000, "p99": p99 / 1000}


def main() -> None:
    """Connect, and do what is asked until stdin ends."""
    name, place = sys.argv[1], Path(sys.argv[2])
    orders = Orders()
    contestant = line_up.named(name)
    with contestant.connect(place) as client:
        bob = Bob(contestant, client, place)
        orders.answer({"ready": True})
        orders.obey(bob.obey)
        bob.close()


if __name__ == "__main__":
    main()
