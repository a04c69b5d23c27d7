"""Programs that end in unusual ways, one a word: `endings.py WORD URL`. Each says "ready", then waits for its end.

Rules of this file
- Nothing here closes anything: an exit without `close` must not hang, whatever is still open.
- What a forked child does is said by the child itself, on the same standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

import tincans


def say(said: str, **what: Any) -> None:
    """One line."""
    os.write(1, (json.dumps({"said": said, **what}) + "\n").encode())


def pending_futures(url: str) -> None:
    """Started calls that nobody asked for."""
    alice = tincans.connect(url)
    futures = [alice.start.sleep(600) for _ in range(3)]
    say("ready", open=len(futures))


def subscriptions(url: str) -> None:
    """A subscription nobody iterates, a function that follows a topic, a watch."""
    alice = tincans.connect(url)
    open = [alice.subscribe("news"), alice.on("news")(print), alice.state.watch("key")]
    say("ready", open=len(open))


def job_and_lock(url: str) -> None:
    """A job on lease and a lock that is held."""
    alice = tincans.connect(url)
    alice.queue("jobs").put(1)
    held = [alice.queue("jobs").take(), alice.lock("held").acquire()]
    say("ready", open=len(held))


def exposed(url: str) -> None:
    """A function that the other side may call at any time."""
    alice = tincans.connect(url)
    alice.expose(len, name="size")
    say("ready")


def in_a_handler(url: str) -> None:
    """A server whose main thread ends while a function of its runs."""
    server = tincans.serve(f"{url}-own")
    begun = threading.Event()

    @server.expose
    def long() -> None:
        begun.set()
        time.sleep(600)

    caller = tincans.connect(f"{url}-own")
    future = caller.start.long()
    begun.wait()
    say("ready", done=future.done())


def waiting_for_ctrl_c(url: str) -> None:
    """In a call that takes long."""
    alice = tincans.connect(url)
    threading.Timer(0.2, say, ("ready",)).start()
    try:
        alice.call.sleep(600)
    except KeyboardInterrupt:
        say("interrupted", again=alice.call.add(2, 5))


def iterating(url: str) -> None:
    """In a subscription, until Ctrl-C."""
    alice = tincans.connect(url)
    notes = alice.subscribe("news")
    try:
        say("ready")
        for _note in notes:
            pass
    except KeyboardInterrupt:
        say("interrupted", again=alice.call.add(2, 5))


def fork(url: str) -> None:
    """A child uses its parent's peer, and ends; the parent's goes on undisturbed."""
    alice = tincans.connect(url)
    future = alice.start.sleep(0.5)
    notes = alice.subscribe("news")
    child = os.fork()
    if child == 0:
        say("child", who=alice.call.who()["pid"], own=os.getpid(), sum=alice.call.add(2, 5))
        sys.exit(0)  # an ordinary end, with everything that runs at exit
    _, status = os.waitpid(child, 0)
    alice.publish("news", "after")
    say(
        "parent",
        status=status,
        slept=future.result(),
        sum=alice.call.add(2, 5),
        who=alice.call.who()["pid"],
        own=os.getpid(),
        note=notes.receive(timeout=10).value,
    )


def fork_under_load(url: str) -> None:
    """Forks while other threads call: no child hangs, no parent's call fails."""
    alice = tincans.connect(url)
    stop = threading.Event()
    wrong: list[Any] = []

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            if alice.call.add(number, 1) != number + 1:
                wrong.append(number)

    threads = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(10):
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that hangs ends, and is counted
            os._exit(0 if alice.call.add(number, 1) == number + 1 else 3)
        children.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    say("forked", children=children, wrong=wrong)


def main() -> None:
    """Do one, and return from here as any program would."""
    globals()[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
