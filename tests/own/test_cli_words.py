"""Words of the command line into values, and values into lines of stdout.

Rules of this file
- What a shell user types is the test's input; what she must get stands beside it.
"""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
import rich_click as click

from tincans.cli import output, words


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('"5"', "5"),
        ("hello", "hello"),
        ("hello world", "hello world"),
        ("", ""),
        ("NaN", "NaN"),
        ("[1, [2]]", [1, [2]]),
        ('{"a": null}', {"a": None}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("007", "007"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_a_word_is_json_where_it_can_be_and_text_where_not(word: str, value: Any) -> None:
    assert words.value_of(word) == value


@pytest.mark.parametrize("word", ["[1, 2", '{"a"}', '"open', "[" * 100_000])
def test_broken_json_is_refused_instead_of_sent_as_text(word: str) -> None:
    with pytest.raises(click.UsageError, match="cannot be read as JSON"):
        words.value_of(word)


def test_keywords_keep_their_order_and_their_equal_signs() -> None:
    assert words.arguments_of(["1", "sep==", 'text="a=b"', "2"]) == ([1, 2], {"sep": "=", "text": "a=b"})


def test_a_keyword_given_twice_is_refused() -> None:
    with pytest.raises(click.UsageError, match="twice"):
        words.arguments_of(["a=1", "a=2"])


def test_a_mistyped_option_is_refused_instead_of_sent() -> None:
    with pytest.raises(click.UsageError, match="No such option: --jsno"):
        words.arguments_of(["5", "--jsno"])


def test_a_dash_stands_for_the_lines_of_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\nhello\n"))
    assert list(words.values_of(["0", "-", "9"])) == [0, 1, "hello", 9]


@dataclass
class Point:
    x: int
    y: Any


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (2.5, "2.5"),
        (float("nan"), "null"),
        ((1, 2), "[1, 2]"),
        ({3}, "[3]"),
        (b"abc", '"YWJj"'),
        (memoryview(b"abc"), '"YWJj"'),
        ({(1, 2): 3, 4: 5}, '{"[1, 2]": 3, "4": 5}'),
        (Decimal("1.50"), '"1.50"'),
        (Fraction(1, 3), '"1/3"'),
        (1 + 2j, '"(1+2j)"'),
        (PurePosixPath("a/b"), '"a/b"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (datetime(2024, 1, 2, tzinfo=UTC), '"2024-01-02T00:00:00Z"'),
        (Point(1, float("inf")), '{"x": 1, "y": null}'),
        (Point(1, np.arange(2)), '{"x": 1, "y": [0, 1]}'),
        (np.arange(4).reshape(2, 2), "[[0, 1], [2, 3]]"),
        (np.float32(0.5), "0.5"),
        (2**70, str(2**70)),
        ("grün", '"grün"'),
    ],
)
def test_every_value_has_a_line_of_json(value: Any, text: str) -> None:
    line = output.json_text(value)
    json.loads(line)
    assert line == text


def test_a_text_is_printed_bare_and_none_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("two words", None, [1, None], float("inf")):
        output.show(value)
    assert capsys.readouterr().out == "two words\n[1, null]\ninf\n"


def test_json_output_is_one_line_per_value(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("two\nlines", None):
        output.show(value, as_json=True)
    assert capsys.readouterr().out == '"two\\nlines"\nnull\n'


def test_bytes_are_printed_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.show(b"\x00\xff\n")
    assert capfdbinary.readouterr().out == b"\x00\xff\n"


def test_a_text_that_the_terminal_cannot_show_is_escaped_and_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    output.show("a\ud800b")
    assert capsys.readouterr().out == "a\\ud800b\n"


def test_a_table_off_the_terminal_is_tabs_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name", "pid", "urls"], [("alice", 5, ["unix:alice", "tcp:x"]), ("a\tb\nc", None, [])])
    assert capsys.readouterr().out == "alice\t5\tunix:alice, tcp:x\na b c\t\t\n"


def test_a_table_on_a_terminal_has_a_heading_and_keeps_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output.table(["function"], [("total(x: list[int])",)])
    shown = capsys.readouterr().out
    assert "function" in shown
    assert "total(x: list[int])" in shown


def test_a_table_as_json_is_a_list_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name", "urls"], [("alice", ["unix:a"])], as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"name": "alice", "urls": ["unix:a"]}]
