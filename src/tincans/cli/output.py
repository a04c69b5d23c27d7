"""What a command prints: data on stdout, talk on stderr.

Rules of this file
- stdout is flushed after each line, so that the next program in a shell pipe sees it at once.
- A table is drawn on a terminal; elsewhere it is one line per row, the cells between tabs, no heading.
- Everything that can arrive can be printed: what JSON lacks becomes the nearest thing that JSON has.
"""

from __future__ import annotations

import base64
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from tincans.cli.exits import Exit


def say(text: str) -> None:
    """A message for the person at the keyboard; never data."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(value: Any, *, as_json: bool = False) -> None:
    """Print one value. A text is printed bare and bytes as they are, unless `as_json`; None prints nothing."""
    if as_json:
        _line(json_text(value))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        with _somebody_reads():
            sys.stdout.buffer.write(value)
            sys.stdout.buffer.flush()
    elif value is not None:
        _line(text_of(value))


def text_of(value: Any) -> str:
    """A value as a person would write it: a text bare, everything else as JSON.

    >>> text_of("hello"), text_of([1, "a"]), text_of(2.5)
    ('hello', '[1, "a"]', '2.5')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json_text(value)


def json_text(value: Any) -> str:
    """A value as one line of JSON; what JSON lacks becomes a list, a text, base64, or null (nan, inf).

    >>> json_text({(1, 2): b"abc", "when": None})
    '{"[1, 2]": "YWJj", "when": null}'
    """
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The nearest thing that JSON has."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    try:
        return _plain_built_in(msgspec.to_builtins(value, str_keys=True, enc_hook=_foreign))
    except (TypeError, ValueError):
        return str(value)


def _plain_built_in(value: Any) -> Any:
    # A float or an int of numpy counts as built in; a container may still hold what JSON lacks.
    return _plain(value) if isinstance(value, (float, Mapping, list, tuple)) else value


def _foreign(value: Any) -> Any:
    """An array or one of its elements as lists and numbers; anything else as it shows itself."""
    return value.tolist() if hasattr(value, "dtype") and hasattr(value, "tolist") else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool = False) -> None:
    """Print rows: drawn on a terminal, cells between tabs elsewhere, a list of objects as JSON."""
    if as_json:
        _line(json_text([dict(zip(columns, row, strict=True)) for row in rows]))
    elif sys.stdout.isatty():
        _drawn(columns, rows)
    else:
        for row in rows:
            _line("\t".join(_cell(each).replace("\t", " ").replace("\n", " ") for each in row))


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*(escape(_cell(each)) for each in row))
    Console().print(drawn)


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return "" if value is None else text_of(value)


def _line(text: str) -> None:
    # A text may hold what the terminal's encoding lacks; losing the line would be worse than an escape.
    encoding = sys.stdout.encoding or "utf-8"
    with _somebody_reads():
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


@contextmanager
def _somebody_reads() -> Iterator[None]:
    """`tincans sub ... | head -1`: end as the shell expects it, and without a complaint at Python's own exit."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(Exit.READER_GONE) from None
