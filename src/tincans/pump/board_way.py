"""A method without calls: nothing but its own board, which is made at once, so that a wrong place is told at once.

Rules of this file
- Whatever needs another program's answer is refused with the reason in the method's facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from tincans.contracts import Board, Buffer, Parts, Transport
from tincans.facts import No, refused

if TYPE_CHECKING:
    from tincans.finder import Method


class BoardWay:
    """way.Way for a method that has only a board."""

    def __init__(self, method: Method, transport: Transport) -> None:
        self.url = str(method.address)
        self._method = method
        self._transport = transport
        self._board: Board | None = None

    def reach(self, timeout: float) -> None:
        self.board(timeout)

    def board(self, timeout: float) -> Board:
        if self._board is None:
            made = self._transport.board(self._method.address, wire=self._method.wire, timeout=timeout)
            self._board = made or Board()
        return self._board

    def call(self, name: str, args: Any, kwargs: Any, *, timeout: float | None) -> Any:
        self._refuse(f"call {name}")

    call_again = start = notify = call

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        self._refuse("describe")

    def written(self, name: str, args: Any, kwargs: Any) -> list[Buffer]:
        self._refuse(f"call {name}")

    def answer_in(self, parts: Parts, name: str) -> Any:
        self._refuse("answers")

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        self._refuse("expose")

    def _refuse(self, operation: str) -> NoReturn:
        verdict = self._method.facts.call
        assert isinstance(verdict, No)
        raise refused(verdict, "call", self.url, operation)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
