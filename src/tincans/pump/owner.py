"""Who makes links, and what a link asks of its maker: the server's host, or the client's channel.

Rules of this file
- The contract between link.py and host.py or channel.py: no code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tincans.contracts import Buffer
from tincans.core.messages import Message, Request
from tincans.errors import TincansError

if TYPE_CHECKING:
    from tincans.pump.link import Link


class Owner(Protocol):
    """Who made the link: the server or the client's channel."""

    def execute(self, link: Link, request: Request[Any]) -> None:
        """Run a request; called without the reading role, may take long."""
        ...

    def serve_plain(self, link: Link, linger: float) -> list[Buffer] | None:
        """Under the reading role: run plain requests as they come (plain_serving.serve)."""
        ...

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        """Run a reserved request that never blocks, in order, under the reading role. False: it is not one."""
        ...

    def greet(self, link: Link, message: Message) -> None:
        """A message that came before the greeting was done."""
        ...

    def cancelled(self, link: Link, id: int) -> None:
        """A Cancel for a call that was answered meanwhile."""
        ...

    def goodbye(self, link: Link) -> None: ...
    def lost(self, link: Link, error: TincansError) -> None: ...
