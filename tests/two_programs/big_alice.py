"""Alice with big data, a program of her own: `big_alice.py sync|aio URL`; as a subscriber: `big_alice.py listen URL`.

Rules of this file
- She says where the memory lies that she got: the inode of the segment, which is the same in every program.
- Serving, she says "serving"; listening, "listening", and a line for each note.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import numpy as np

import tincans
from tincans.toolkit.array_places import _bounds
from tincans.toolkit.live_memory import LIVE
from tincans.toolkit.memory_pool import POOL

HELD: list[Any] = []


def say(**what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


def segment(array: np.ndarray) -> int:
    """The inode of the memory in which it lies; 0 when that is this program's own."""
    begin, end = _bounds(array)
    memory = LIVE.find(begin, end - begin)
    return 0 if memory is None else os.fstat(memory.descriptor).st_ino


def look(array: np.ndarray) -> dict[str, Any]:
    """What came."""
    return {
        "segment": segment(array),
        "writable": bool(array.flags.writeable),
        "strides": list(array.strides),
        "sum": int(array.sum()),
    }


def last(array: np.ndarray) -> int:
    """The last element."""
    return int(array[-1])


def hold(array: np.ndarray) -> int:
    """Keep it; how many are kept now."""
    HELD.append(array)
    return len(HELD)


def held(number: int) -> int:
    """The first element of one that is kept."""
    return int(HELD[number].flat[0])


def drop() -> None:
    """Keep nothing any more."""
    HELD.clear()


def poke(array: np.ndarray, value: int) -> None:
    """Write to it."""
    array[...] = value


def table(value: Any) -> dict[str, Any]:
    """Where the first column of an Arrow table or a frame lies, and its sum."""
    kind = type(value).__module__.partition(".")[0]
    first = value.column(0).chunk(0) if kind == "pyarrow" else value.iloc[:, 0] if kind == "pandas" else value[:, 0]
    column = first.to_numpy()
    return {"segment": segment(column), "sum": int(column.sum()), "kind": kind}


def back(value: Any) -> Any:
    """The same."""
    return value


def bound(limit: int) -> None:
    """Bound her pool."""
    POOL.limit = limit


def memory() -> dict[str, int]:
    """Her pool."""
    return {"in_use": POOL.in_use(), "taken": POOL._taken, "segments": len(POOL._segments)}


def offer(server: Any) -> None:
    """Expose everything, and say so."""

    def publish(topic: str, size: int) -> int:
        """Publish an array that lies in no shareable memory; how many segments it took."""
        array = np.arange(size)
        server.publish(topic, {"plain": array})
        array[:] = 0  # what was published is not changed by this
        return len(POOL._segments)

    for function in (look, last, hold, held, drop, poke, table, back, bound, memory, publish):
        server.expose(function)
    say(said="serving", pid=os.getpid())


async def serve_on_loop(url: str) -> None:
    """The async face."""
    import tincans.aio

    server = await tincans.aio.serve(url)

    async def publish_here(topic: str, size: int) -> int:
        array = np.arange(size)
        await server.publish(topic, {"plain": array})
        array[:] = 0
        return len(POOL._segments)

    offer(server)
    server.expose(publish_here, name="publish_on_loop")
    await server.run()


def listen(url: str) -> None:
    """A subscriber; it keeps what it got until the next note."""
    with tincans.connect(url) as peer, peer.subscribe("big.*") as notes:
        say(said="listening", pid=os.getpid())
        for note in notes:
            array = note.value["plain"]
            say(said="heard", topic=note.topic, segment=segment(array), sum=int(array.sum()), writable=False)


def main() -> None:
    """Until it is ended."""
    face, url = sys.argv[1:]
    if face == "listen":
        listen(url)
    elif face == "aio":
        asyncio.run(serve_on_loop(url))
    else:
        server = tincans.serve(url)
        offer(server)
        server.run()


if __name__ == "__main__":
    main()
