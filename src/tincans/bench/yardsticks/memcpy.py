"""One copy of the payload inside one program: what a method that copies once cannot beat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import Client, Contestant, no_server


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import numpy

    def prepare(array: Any) -> Any:
        target = numpy.empty_like(array)
        target[:] = 0  # touched once, as the target of a copy that is repeated is
        return target, array

    def deliver(pair: Any) -> int:
        numpy.copyto(*pair)
        return int(pair[0].nbytes)

    yield Client(prepare=prepare, deliver=deliver)


CONTESTANTS = (
    Contestant(
        name="one memcpy",
        kind="yardstick",
        about="`numpy.copyto` into memory that was used before",
        can=frozenset({"payload"}),
        serve=no_server,
        connect=connect,
        needs=("numpy",),
    ),
)
