"""Docstrings in the three known habits are taken apart, and any other is left in peace."""

from __future__ import annotations

import pytest

from tincans.core.docstring import Docs, docs_of, parsed

GOOGLE = """Move a point.

Args:
    point (Point, optional): which one,
        and no other
    by: how far
    *rest: the others: all of them
    **style: how

Returns:
    Point: where it is now,
    for certain

Raises:
    ValueError: never
"""

NUMPY = """Move a point.

Parameters
----------
point : Point, optional
    which one,
    and no other
by
    how far
*rest, **style
    shared words

Returns
-------
Point
    where it is now

Notes
-----
by : not a parameter
"""

REST = """Move a point.

:param point: which one,
    and no other
:param int by: how far
:type by: int
:returns: where it is now
:raises ValueError: never
"""


def test_google_sections_are_read() -> None:
    docs = parsed(GOOGLE)
    assert docs.summary == "Move a point."
    assert docs.parameters == {
        "point": "which one, and no other",
        "by": "how far",
        "rest": "the others: all of them",
        "style": "how",
    }
    assert docs.result == "Point: where it is now, for certain"


def test_numpy_sections_are_read() -> None:
    docs = parsed(NUMPY)
    assert docs.parameters == {
        "point": "which one, and no other",
        "by": "how far",
        "rest": "shared words",
        "style": "shared words",
    }
    assert docs.result == "Point where it is now"


def test_rest_fields_are_read() -> None:
    docs = parsed(REST)
    assert docs.summary == "Move a point."
    assert docs.parameters == {"point": "which one, and no other", "by": "how far"}
    assert docs.result == "where it is now"


def test_the_summary_is_the_first_paragraph_in_one_line() -> None:
    assert parsed("One line\nand another.\n\nMore.").summary == "One line and another."


def test_an_example_is_no_summary() -> None:
    assert parsed("Add.\n>>> add(1)\n1").summary == "Add."


def test_a_section_ends_where_the_text_goes_on_at_the_margin() -> None:
    assert parsed("Add.\n\nArgs:\n    a: one\nAnd more\n    b: two").parameters == {"a": "one"}


def test_the_text_is_kept_whole() -> None:
    assert parsed(GOOGLE).text == GOOGLE.strip()


@pytest.mark.parametrize(
    "text", ["", "Args:", "Args:\n", "Parameters\n---", "a\n----\n", ":param:", ":param x", "Args:\n\nx: y", "  \n\t\n"]
)
def test_nothing_is_ever_wrong(text: str) -> None:
    assert parsed(text).parameters == {}


def test_no_docstring_is_no_documentation() -> None:
    def f() -> None: ...

    assert docs_of(f) == Docs()


def test_a_method_inherits_its_documentation() -> None:
    class Shape:
        def area(self) -> float:
            """How large."""
            return 0.0

    class Square(Shape):
        def area(self) -> float:
            return 1.0

    assert docs_of(Square().area).summary == "How large."
