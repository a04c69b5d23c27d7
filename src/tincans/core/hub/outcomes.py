"""What the hub tells its owner to deliver: an answer, a failure, the start of a stream, an element of it.

Rules of this file
- Records only. `ticket` is the one its request came with; the hub never looks into it.
- An outcome may concern any ticket, not only the one just asked about: a put answers a waiting take.
- The list is in order: what stands first is delivered first.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from msgspec import Struct

from tincans.contracts import Policy
from tincans.errors import TincansError


class Done(Struct, frozen=True, gc=False):
    """The request `ticket` is answered with `value`."""

    ticket: Hashable
    value: Any = None


class Failed(Struct, frozen=True, gc=False):
    """The request `ticket` was refused; nothing of it happened."""

    ticket: Hashable
    error: TincansError


class Opened(Struct, frozen=True, gc=False):
    """The request `ticket` is answered by a stream of `News`; it ends by `Hub.cancel` or `Hub.gone`.

    The stream's owner holds back at most `limit` elements for a slow reader, and then does what `policy` says.
    """

    ticket: Hashable
    limit: int
    policy: Policy


class News(Struct, frozen=True, gc=False):
    """One element for the stream `ticket`.

    For a subscription `value` is what was published; all subscribers of one publish get the very same object, one
    after the other, so it needs to be encoded once. For a watch `topic` is the key and `value` is
    [version, value, deleted].
    """

    ticket: Hashable
    topic: str
    value: Any


Outcome = Done | Failed | Opened | News
