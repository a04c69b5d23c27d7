"""Whether what a method needs besides Tincans is here, and if not, how to get it.

Rules of this file
- A look imports nothing: a library is found, not loaded.
- `Facts.library` is the name of a Python module, or words that name the C core of this package.
"""

from __future__ import annotations

from importlib.util import find_spec

from tincans import _speed
from tincans.facts import Facts

THE_CORE = "C core"


def missing(facts: Facts) -> str:
    """What to do about a missing library, or "" when nothing is missing.

    >>> missing(Facts("example", library="msgspec"))
    ''
    >>> missing(Facts("example", library="no_such_library", extra="example"))
    "pip install 'tincans[example]'"
    """
    if not facts.library:
        return ""
    if THE_CORE in facts.library:
        return _speed.why_not()
    if find_spec(facts.library.partition(".")[0]) is not None:
        return ""
    return f"pip install 'tincans[{facts.extra}]'" if facts.extra else f"pip install {facts.library}"
