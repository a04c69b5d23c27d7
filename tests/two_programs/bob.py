"""Bob as a program of his own: `bob.py sync|aio`, who does what he is told, each order on a thread of its own.

Rules of this file
- An order is a JSON list on standard input: its number, a method of `Bob`, the arguments.
- Its report is a JSON object on standard output: `order`, `result` or `error` with `outcome`, `began`, `at`.
- The async face is driven from threads (conformance/faces.py), so that one Bob serves both faces.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import tincans

_saying = threading.Lock()


def say(**what: Any) -> None:
    """One line."""
    with _saying:
        print(json.dumps(what), flush=True)


class Bob:
    """What he can be told to do. Each method waits as long as it takes."""

    def __init__(self, face: str) -> None:
        self.face = face
        self.loop: Any = None
        if face == "aio":
            from tincans.conformance import faces

            self.loop = faces.Loop()
        self.peer: Any = None
        self.notes: Any = None
        self.jobs: list[Any] = []
        self.heard: list[Any] = []
        self.locks: dict[str, Any] = {}

    def connect(self, url: str, timeout: float = 5.0) -> None:
        """Make Alice the one he talks to."""
        options = {"timeout": timeout}
        if self.loop is None:
            self.peer = tincans.connect(url, **options)
        else:
            from tincans.conformance import faces

            self.peer = faces.connect(self.loop, url, **options)

    def call(self, name: str, *arguments: Any) -> Any:
        return self.peer.call(name, *arguments)

    def call_within(self, timeout: float, name: str, *arguments: Any) -> Any:
        return self.peer.with_options(timeout=timeout).call(name, *arguments)

    def call_again(self, timeout: float, name: str, *arguments: Any) -> Any:
        """A call that may be repeated."""
        return self.peer.with_options(timeout=timeout, idempotent=True).call(name, *arguments)

    def start(self, name: str, *arguments: Any) -> Any:
        return self.peer.start(name, *arguments).result()

    def notify(self, name: str, *arguments: Any) -> None:
        self.peer.notify(name, *arguments)

    def leave(self, name: str, *arguments: Any) -> str:
        """A call for whenever Alice comes; its ticket."""
        return self.peer.with_options(wait=False).call(name, *arguments).id  # type: ignore[no-any-return]

    def collect(self, ticket: str, timeout: float) -> Any:
        """The answer to a call that was left."""
        claim = self.peer.ticket(ticket)
        if self.loop is None:
            return claim.result(timeout=timeout)
        return self.loop.run(claim._inner.result, (), {"timeout": timeout})  # not a Future's

    def stream(self) -> None:
        for _element in self.peer.with_options(timeout=None).call("trickle"):
            say(said="streaming")

    def subscribe(self, topic: str) -> Any:
        """Listen, and wait for one note."""
        self.notes = self.peer.subscribe(topic)
        return self.next_note()

    def next_note(self) -> Any:
        note = self.notes.receive()
        return [note.topic, note.value, note.missed]

    def follow(self, topic: str) -> None:
        """`on`: remember each value."""
        self.peer.on(topic)(lambda note: self.heard.append(note.value))

    def followed(self) -> list[Any]:
        return self.heard

    def publish(self, topic: str, value: Any) -> None:
        self.peer.publish(topic, value)

    def put(self, queue: str, value: Any) -> None:
        self.peer.queue(queue).put(value)

    def take(self, queue: str, timeout: float | None = None) -> Any:
        """A job, which he keeps on lease."""
        queue = self.peer.queue(queue)
        job = queue._take(timeout) if self.loop else queue.take(timeout=timeout)  # type: ignore[attr-defined]
        self.jobs.append(job)
        return [job.value, job.deliveries]

    def finish(self) -> None:
        """Acknowledge the oldest job he has."""
        self.jobs.pop(0).done()

    def watch(self, key: str) -> Any:
        return self.peer.state.watch(key).receive().value

    def set(self, key: str, value: Any) -> None:
        self.peer.state.set(key, value)

    def get(self, key: str) -> Any:
        return self.peer.state.get(key)

    def wait_for_flag(self, name: str) -> Any:
        return self.peer.flag(name).wait()

    def lock(self, name: str, timeout: float | None = None) -> bool:
        lock = self.peer.lock(name)
        held: bool = lock.acquire(timeout=timeout)
        if held:
            self.locks[name] = lock
        return held

    def unlock(self, name: str) -> None:
        self.locks.pop(name).release()

    def beat(self, interval: float) -> None:
        """From now on, ask a silent Alice so often whether she is there."""
        from tincans.pump import heartbeat

        heartbeat.INTERVAL = interval

    def threads(self) -> int:
        return threading.active_count()

    def close(self) -> None:
        self.peer.close()


def carry_out(bob: Bob, number: int, what: str, arguments: list[Any]) -> None:
    """One order, and its report."""
    told: dict[str, Any] = {"order": number, "error": None, "result": None, "began": time.monotonic()}
    try:
        told["result"] = getattr(bob, what)(*arguments)
    except Exception as error:
        names = [cls.__name__ for cls in type(error).__mro__]
        told.update(error=names[0], kinds=names, text=str(error), outcome=getattr(error, "outcome", None))
    told["at"] = time.monotonic()
    say(**told)


def main() -> None:
    """Until standard input ends."""
    bob = Bob(sys.argv[1])
    for line in sys.stdin:
        number, what, *arguments = json.loads(line)
        threading.Thread(target=carry_out, args=(bob, number, what, arguments), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
