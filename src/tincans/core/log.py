"""The library's log: for faults that nobody else would hear of.

Rules of this file
- The standard module costs a tenth of the whole import, so it is loaded by the first line that is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def log() -> logging.Logger:
    """The logger named "tincans"."""
    import logging

    return logging.getLogger("tincans")
