"""Shell words into values: JSON where a word is JSON, the word itself where it is not.

Rules of this file
- Pure: text in, values out; a word that is neither gives a UsageError that says how to write it.
- `5` is a number, `"5"` (with its quotes) a text; `name=value` is a keyword where keywords are meant.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import rich_click as click

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_MEANT_AS_JSON = ("[", "{", '"')
_LOOKS_LIKE_AN_OPTION = re.compile(r"--[A-Za-z]")


def value_of(word: str) -> Any:
    """One word as a value.

    >>> value_of("[1, 2]"), value_of("5"), value_of('"5"'), value_of("hello"), value_of("true")
    ([1, 2], 5, '5', 'hello', True)
    """
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if word.startswith(_MEANT_AS_JSON):
            raise click.UsageError(
                f"{_short(word)} starts like JSON but cannot be read as JSON ({error}). "
                "A text is written with its quotes: '\"[text\"'."
            ) from None
        return word


def arguments_of(words: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Words as positional and keyword arguments.

    >>> arguments_of(["2", "bob", "sep=-", 'x="a=b"'])
    ([2, 'bob'], {'sep': '-', 'x': 'a=b'})
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        keyword = _KEYWORD.fullmatch(word)
        if _LOOKS_LIKE_AN_OPTION.match(word):
            raise click.UsageError(f"No such option: {word}. A text that starts so is written '\"{word}\"'.")
        if keyword is None:
            args.append(value_of(word))
        elif keyword[1] in kwargs:
            raise click.UsageError(f"The keyword {keyword[1]!r} is given twice.")
        else:
            kwargs[keyword[1]] = value_of(keyword[2])
    return args, kwargs


def values_of(words: Iterable[str]) -> Iterator[Any]:
    """Words as values; the word `-` stands for the lines of stdin, one value each, as they come."""
    for word in words:
        if word == "-":
            yield from (value_of(line.rstrip("\n")) for line in sys.stdin)
        else:
            yield value_of(word)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _short(word: str) -> str:
    return repr(word if len(word) <= 40 else f"{word[:37]}...")
