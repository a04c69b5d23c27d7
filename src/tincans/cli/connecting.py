"""The NAME of a service on the command line: reach it, and complete it on Tab.

Rules of this file
- A command connects only through `peer`, so that waiting, closing and the options are the same for all.
- Completion never waits for long and never fails: no answer is an empty list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem

import tincans
from tincans.errors import TincansError
from tincans.toolkit.files import runtime_directory

COMPLETION_PATIENCE = 0.3  # seconds; a person who pressed Tab is waiting

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def peer(name: str, *, timeout: float | None) -> Iterator[tincans.Peer[Any]]:
    """The other end of NAME, for the length of a command; `timeout` in seconds, None for the library's own."""
    if timeout is None:
        connected = tincans.connect(name)
    else:
        connected = tincans.connect(name, timeout=timeout, call_timeout=timeout)
    with connected:
        yield connected


def _services(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        found = runtime_directory.services()
    except (TincansError, OSError):
        return []
    return [CompletionItem(each.name) for each in found if each.name.startswith(incomplete)]


def _functions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        with peer(context.params["name"], timeout=COMPLETION_PATIENCE) as other:
            described = other.describe()["functions"]
    except (TincansError, OSError, KeyError):
        return []
    return [
        CompletionItem(each["name"], help=each.get("summary", ""))
        for each in described
        if each["name"].startswith(incomplete)
    ]


name_argument = click.argument("name", shell_complete=_services)
function_argument = click.argument("function", metavar="FUNC", shell_complete=_functions)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one value per line.")


def timeout_option(text: str) -> Callable[[F], F]:
    """`--timeout SECONDS`, with what it bounds."""
    return click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help=text)
