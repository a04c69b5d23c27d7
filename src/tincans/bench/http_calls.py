"""`python -m tincans.bench.http_calls`: a call over http, and the same over FastAPI and httpx, side by side in one run.

Rules of this file
- Each server is a program of its own; the rounds are interleaved, medians are compared. Both call a plain function of
  two ints, typed and validated, over a connection that is kept.
- FastAPI is measured with a plain function (it runs on a thread there) and with an async one (on the loop): the bar is
  against the faster of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import monotonic, perf_counter_ns, sleep
from typing import Any

import tincans

BAR = 1.5
PATIENCE = 20.0
OURS, PLAIN, ASYNC = "tincans http", "FastAPI + httpx", "FastAPI (async def) + httpx"


def serve_ours(port: str) -> None:
    """Alice."""
    server = tincans.serve(f"http://127.0.0.1:{port}")

    @server.expose
    def add(a: int, b: int) -> int:
        return a + b

    server.run()


def serve_fastapi(port: str) -> None:
    """The same with FastAPI, as its documentation starts it."""
    import uvicorn
    from fastapi import Body, FastAPI

    app = FastAPI()

    @app.post("/add")
    def add(a: int = Body(), b: int = Body()) -> int:
        return a + b

    @app.post("/add_async")
    async def add_async(a: int = Body(), b: int = Body()) -> int:
        return a + b

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)


@contextlib.contextmanager
def program(what: str) -> Iterator[str]:
    """A serving program; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "tincans.bench.http_calls", "--serve", what, port])
    try:
        await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def await_port(port: str) -> None:
    """Until somebody listens."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            return
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.05)


def median_of(call: Callable[[], Any], count: int) -> float:
    """Microseconds of one call, the median of `count`."""
    times = []
    for _ in range(count):
        began = perf_counter_ns()
        result = call()
        times.append(perf_counter_ns() - began)
        assert result == 7
    return statistics.median(times) / 1000


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """The medians of each round, by contestant."""
    import httpx

    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(program("ours"))
        theirs = stack.enter_context(program("fastapi"))
        peer = stack.enter_context(tincans.connect(f"http://127.0.0.1:{ours}"))
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{theirs}"))
        numbers = {"a": 2, "b": 5}
        contestants: dict[str, Callable[[], Any]] = {
            OURS: lambda: peer.call.add(2, 5),
            PLAIN: lambda: client.post("/add", json=numbers).raise_for_status().json(),
            ASYNC: lambda: client.post("/add_async", json=numbers).raise_for_status().json(),
        }
        figures: dict[str, list[float]] = {name: [] for name in contestants}
        for call in contestants.values():
            median_of(call, calls)
        for _ in range(rounds):
            for name, call in contestants.items():
                figures[name].append(median_of(call, calls))
    return figures


def main() -> None:
    """Measure and print; an exit code of 1 when the bar is not met."""
    parser = argparse.ArgumentParser(prog="tincans.bench.http_calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (default 10)")
    parser.add_argument("--calls", type=int, default=300, help="calls in a round (default 300)")
    parser.add_argument("--serve", nargs=2, metavar=("WHAT", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        {"ours": serve_ours, "fastapi": serve_fastapi}[options.serve[0]](options.serve[1])
        return
    figures = {name: statistics.median(each) for name, each in measure(options.rounds, options.calls).items()}
    print(f"a call of two ints over HTTP ({options.rounds} interleaved rounds of {options.calls} calls)")
    for name, figure in figures.items():
        print(f"  {name:28} median {figure:8.1f} us")
    ratio = min(figures[PLAIN], figures[ASYNC]) / figures[OURS]
    met = ratio >= BAR
    print(f"  -> {ratio:.2f} x as fast as FastAPI + httpx (promised: at least {BAR:g}){'' if met else '  NOT MET'}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
