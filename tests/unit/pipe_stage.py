"""A served pipe, a client of it, and programs that use one: for the tests of the method `pipe`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from descriptor_ends import DEADLINE

from tincans.core.address import parse
from tincans.core.framing import Frames
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.transports.pipe import TRANSPORT, PipeListener

PREFACE = """
import os, sys
from tincans.core.address import parse
from tincans.core.framing import Frames
from tincans.toolkit.fifo_pair import FifoPair
from tincans.transports.pipe import TRANSPORT
from pathlib import Path
"""


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has said "ready"."""
    child = subprocess.Popen([sys.executable, "-c", PREFACE + code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@contextmanager
def serving(url: str = "pipe:alice") -> Iterator[PipeListener]:
    listener = TRANSPORT.listen(parse(url), framing=Frames())
    try:
        yield listener
    finally:
        listener.close()


def connect(url: str = "pipe:alice", timeout: float = DEADLINE) -> DescriptorStream:
    return TRANSPORT.connect(parse(url), timeout=timeout, framing=Frames())
