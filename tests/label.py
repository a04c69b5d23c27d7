"""What a value is called in a test's name: the same in every process, or several could not share the tests out."""

from __future__ import annotations

import re
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def label(value: Any) -> str:
    """As it is written, without the place in memory where it lies."""
    return _ADDRESS.sub("", str(value))
