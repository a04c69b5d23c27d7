"""A server or a program that a test needs: skipped by name where it is not installed, never in CI."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

S = TypeVar("S")


@contextlib.contextmanager
def needed(start: Callable[[], AbstractContextManager[S]]) -> Iterator[S]:
    """What `start()` gives."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(start())
        except FileNotFoundError as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
        yield server


def installed(program: str, package: str) -> str:
    """Where a program is. Without it the test is skipped, and in CI fails, as each that would be skipped."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")
    return found
