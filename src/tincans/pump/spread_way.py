"""Several connections behind one peer, so that several serving programs work for it.

Rules of this file
- A call goes where the fewest are under way, to the first of those; so a lone caller uses one connection, and the
  others are opened when they are needed. What belongs together (a stream, a callback) stays on its connection.
- The board is one: that of the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from tincans.pump.channel import Channel

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
C = TypeVar("C", bound=Any)


class Shares:
    """How many calls are under way on each of several strings.

    >>> shares = Shares(2)
    >>> shares.begin(), shares.begin(), shares.begin()
    (0, 1, 0)
    >>> shares.end(1)
    >>> shares.begin()
    1
    """

    def __init__(self, count: int) -> None:
        self._under_way = [0] * count
        self._changing = threading.Lock()

    def begin(self) -> int:
        """One more; where it goes."""
        with self._changing:
            place = self._under_way.index(min(self._under_way))
            self._under_way[place] += 1
            return place

    def end(self, place: int) -> None:
        """One less."""
        with self._changing:
            self._under_way[place] -= 1


class Spread(Generic[C]):
    """Several channels to the same address: what a call needs of them, however it is waited for."""

    def __init__(self, channels: Sequence[C]) -> None:
        self._channels = channels
        self._shares = Shares(len(channels))
        first = channels[0]
        self.url = first.url
        self.reach = first.reach
        self.describe = first.describe
        self.written = first.written
        self.answer_in = first.answer_in
        self.board = first.board

    @contextmanager
    def _one(self) -> Iterator[C]:
        place = self._shares.begin()
        try:
            yield self._channels[place]
        finally:
            self._shares.end(place)

    def start(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        """A future, of the channel's kind; its share ends when it is done."""
        place = self._shares.begin()
        try:
            future = self._channels[place].start(name, args, kwargs, timeout=timeout)
        except BaseException:
            self._shares.end(place)
            raise
        future.add_done_callback(lambda _: self._shares.end(place))
        return future

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        """On each connection, for each may be called back."""
        for channel in self._channels:
            channel.expose(function, **options)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class SpreadWay(Spread[Channel]):
    """way.Way over several channels to the same address."""

    def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return channel.call(name, args, kwargs, timeout=timeout)

    def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return channel.call_again(name, args, kwargs, timeout=timeout)

    def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None:
        with self._one() as channel:
            channel.notify(name, args, kwargs, timeout=timeout)
