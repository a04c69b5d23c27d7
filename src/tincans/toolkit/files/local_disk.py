"""Whether a file lies on a disk of this machine, where locks and shared memory work between programs.

Rules of this file
- Only what is known not to work is refused: NFS and SMB exclude nobody, or not always (see docs/adr).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from tincans.errors import UnsupportedError

# statfs(2): the magic numbers of file systems whose disk is another machine's
_REMOTE = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x564C: "NCP",
}
_BUFFER = 256  # more than any system's struct statfs


def check_local(path: Path) -> None:
    """UnsupportedError when `path` lies on a network file system.

    >>> import tempfile
    >>> check_local(Path(tempfile.gettempdir()))
    """
    name = _REMOTE.get(_kind(path))
    if name is not None:
        raise UnsupportedError(
            f"{path} lies on a network file system ({name}), where locks do not keep programs apart. Keep it on a disk"
            " of this machine; for several machines use redis or tcp."
        )


def _kind(path: Path) -> int:
    if sys.platform != "linux":
        return 0
    status = ctypes.create_string_buffer(_BUFFER)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), status):
        return 0
    return ctypes.c_long.from_buffer(status).value & 0xFFFFFFFF
