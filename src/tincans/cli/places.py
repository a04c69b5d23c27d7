"""`doctor`: what is here and what is not, with the command that would bring it.

Rules of this file
- A look changes nothing, except that the private runtime directory is made as a service would make it.
- Three words: "ok", "missing" (something optional is not here), "broken" (nothing can work until it is mended).
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from typing import NamedTuple

import rich_click as click

import tincans
from tincans import _speed
from tincans.cli.connecting import json_option
from tincans.cli.exits import Exit
from tincans.cli.libraries import missing
from tincans.cli.output import table
from tincans.errors import TincansError
from tincans.facts import Facts
from tincans.toolkit.files import runtime_directory


class Finding(NamedTuple):
    """One thing that was looked at: `state` is "ok", "missing" or "broken"."""

    what: str
    state: str
    about: str


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Show what is here: Python, the runtime directory, the C core, and the library of each method.

    Exit code 1 when something is broken; what is only missing is optional.

    \b
    Examples
      tincans doctor
      tincans doctor --json | jq '.[] | select(.state != "ok")'
    """
    found = list(findings())
    table(Finding._fields, found, as_json=as_json)
    return Exit.FAILED if any(each.state == "broken" for each in found) else Exit.OK


def findings() -> Iterator[Finding]:
    """Everything the doctor looks at, in order."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.release()}")
    yield _processors()
    yield _runtime_directory()
    yield _c_core()
    yield _shared_memory()
    for name, facts in sorted(tincans.methods().items()):
        yield library(name, facts)


def _processors() -> Finding:
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    about = "waiting by spinning is off with one" if here == 1 else "waiting may spin for some microseconds"
    return Finding("processors", "ok", f"{here}: {about}")


def _runtime_directory() -> Finding:
    try:
        return Finding("runtime directory", "ok", str(runtime_directory.runtime_directory()))
    except (TincansError, OSError) as error:
        return Finding("runtime directory", "broken", str(error))


def _c_core() -> Finding:
    reason = _speed.why_not()
    if reason:
        return Finding("C core", "missing", f"bare names use Unix sockets: {reason}")
    return Finding("C core", "ok", "bare names use shared memory")


def _shared_memory() -> Finding:
    if hasattr(os, "memfd_create"):
        return Finding("sealed memory", "ok", "large arrays pass between programs without a copy")
    return Finding("sealed memory", "missing", f"{sys.platform} has no memfd; large arrays are copied")


def library(name: str, facts: Facts) -> Finding:
    """Whether what a method needs is installed."""
    remedy = missing(facts)
    if remedy:
        return Finding(f"method {name}", "missing", remedy)
    return Finding(f"method {name}", "ok", facts.library or "needs nothing more")
