"""What the operating system's refusals mean for a file that keeps values: KeepErrors that say what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from tincans.errors import KeepError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space and try again.", True),
    errno.EDQUOT: ("this user's share of the disk is used up", "Free some space and try again.", True),
    errno.EFBIG: ("it would become larger than this user may make files", "Keep less in it.", False),
    errno.EROFS: ("its file system is read-only", "Make it writable, or choose another place.", False),
    errno.EACCES: ("this user may not write there", "Look at the owner and mode of it and its directory.", False),
    errno.EPERM: ("this user may not change it", "Look at the owner and flags of it and its directory.", False),
    errno.EIO: ("the disk failed", "Look at its health, and put a copy back.", False),
    errno.EMFILE: ("this program has too many files open", "Close some, or raise its limit (ulimit -n).", True),
    errno.ENFILE: ("the machine has too many files open", "End some programs.", True),
    errno.EOPNOTSUPP: ("its file system cannot set space aside", "Choose another place.", False),
}


def trouble(path: Path, error: OSError) -> KeepError:
    """A refusal to write as an error; nothing was changed.

    >>> trouble(Path("a.json"), OSError(errno.ENOSPC, "No space left on device")).temporary
    True
    """
    what, advice, passing = _REASONS.get(error.errno or 0, ("it was refused", "See the reason in brackets.", False))
    return KeepError(
        f"{path} cannot be used: {what} ({error.strerror}). Nothing was changed. {advice}", temporary=passing
    )
