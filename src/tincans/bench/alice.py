"""Alice, the serving program of one contestant: `python -m tincans.bench.alice NAME PLACE`.

Rules of this file
- She is told what to do by lines of JSON on stdin, answers each with one line on stdout, and ends when stdin ends.
"""

from __future__ import annotations

import statistics
import sys
from functools import cache
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from tincans.bench import line_up
from tincans.bench.contestant import Serving
from tincans.bench.listening import Orders


def publish(publish: Any, order: dict[str, Any]) -> dict[str, Any]:
    """So many messages as fast as they are taken; each begins with its number."""
    first, count = order["first"], order["count"]
    padding = bytes(order["size"] - 8)
    began = perf_counter_ns()
    for number in range(first, first + count):
        publish(number.to_bytes(8, "little") + padding)
    return {"began": began, "ended": perf_counter_ns()}


def publish_array(serving: Serving, order: dict[str, Any]) -> dict[str, Any]:
    """One array, shareable or plain, so many times; its number is higher than any other."""
    assert serving.publish is not None
    array, taken = array_of(serving, order["size"], order["shared"]), []
    first = perf_counter_ns()
    for _ in range(order["times"]):
        began = perf_counter_ns()
        serving.publish(array)
        taken.append(perf_counter_ns() - began)
    return {"began": first, "median": statistics.median(taken) / 1000}


@cache
def array_of(serving: Serving, size: int, shared: bool) -> Any:
    """Ones. It is there before it is published."""
    import numpy

    assert serving.shared is not None
    array = numpy.ones(size, numpy.uint8)
    return serving.shared(array) if shared else array


def obey(serving: Serving, order: dict[str, Any]) -> dict[str, Any]:
    """One order."""
    if order["do"] == "publish":
        return publish(serving.publish, order)
    return publish_array(serving, order)


def main() -> None:
    """Serve until stdin ends."""
    name, place = sys.argv[1:3]
    orders = Orders()
    with line_up.named(name).serve(Path(place)) as serving:
        orders.answer({"ready": True})
        orders.obey(lambda order: obey(serving, order))


if __name__ == "__main__":
    main()
