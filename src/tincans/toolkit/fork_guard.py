"""What a forked child must let go of: its parent's connections, listeners and locks.

Rules of this file
- A child closes its copies of the descriptors and nothing more: no shutdown, no unlink, no goodbye, for those
  would reach the parent's own. Without this the parent's death would not be seen while a child lives.
- The one module global is the set of owners, weak: it keeps nothing alive. Programs that are started (exec)
  are no concern here, every descriptor is close-on-exec.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that owns descriptors."""

    def abandon(self) -> None:
        """In a forked child: close the descriptors, touch nothing that is shared, count as closed."""
        ...


_owners: weakref.WeakSet[Forkable] = weakref.WeakSet()


def abandon_in_child(owner: Forkable) -> None:
    """Have `owner.abandon()` called in every child that this program forks from now on."""
    _owners.add(owner)


def _abandon_all() -> None:
    for owner in list(_owners):
        owner.abandon()
    _owners.clear()


os.register_at_fork(after_in_child=_abandon_all)
