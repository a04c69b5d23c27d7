"""`call` and `describe`: ask another program to do something, and ask what it can do.

Rules of this file
- A result is data; a stream is printed element by element as it comes.
- The printed signature is the server's own description, not a guess from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import rich_click as click

from tincans.cli.connecting import function_argument, json_option, name_argument, peer, timeout_option
from tincans.cli.output import say, show, table
from tincans.cli.words import arguments_of
from tincans.errors import RemoteError


# An unknown option is a word, so that `-5` can be an argument; words.py refuses what looks like a slip.
@click.command(context_settings={"ignore_unknown_options": True})
@name_argument
@function_argument
@click.argument("words", nargs=-1, metavar="[ARGS]...", type=click.UNPROCESSED)
@json_option
@timeout_option("Seconds to wait for the service and for its answer.")
@click.option("--traceback", is_flag=True, help="When the function raises, show its traceback on stderr.")
def call(
    name: str, function: str, words: tuple[str, ...], as_json: bool, timeout: float | None, traceback: bool
) -> None:
    """Call FUNC of the service NAME and print what it returns.

    ARGS are JSON where they can be read as JSON, and plain texts where not; `key=value` is a keyword.
    A text is printed bare, bytes as they are, everything else as JSON; a stream one element per line.

    \b
    Examples
      tincans call alice add 2 5
      tincans call unix:stats mean '[1, 2, 3, 4]'
      tincans call alice greet name=Bob loud=true
      tincans call alice count_to 1000000 | head -3
      tincans call alice lookup '"5"'            # the text 5, not the number
    """
    args, kwargs = arguments_of(words)
    with peer(name, timeout=timeout) as other:
        try:
            result = other.call(function, *args, **kwargs)
            for each in result if isinstance(result, Iterator) else (result,):
                show(each, as_json=as_json)
        except RemoteError as error:
            if traceback and error.remote_traceback:
                say(error.remote_traceback.rstrip())
            raise


@click.command()
@name_argument
@json_option
@timeout_option("Seconds to wait for the service.")
def describe(name: str, as_json: bool, timeout: float | None) -> None:
    """Show the functions of the service NAME: parameters, types and what they are for.

    \b
    Examples
      tincans describe alice
      tincans describe unix:stats --json | jq '.functions[].name'
    """
    with peer(name, timeout=timeout) as other:
        described = other.describe()
    if as_json:
        show(described, as_json=True)
        return
    rows = [(signature_of(each), each.get("summary", "")) for each in described["functions"]]
    table(["function", "what it does"], rows)
    if sys.stdout.isatty():
        say(f"Call one with: tincans call {name} FUNC ARGS...")


def signature_of(function: dict[str, Any]) -> str:
    """The line a person would call it by, from the server's description."""
    return str(function.get("signature") or function["name"])
