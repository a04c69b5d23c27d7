"""Why arguments were refused, in the caller's words: the function, the parameter, what was expected, what came.

Rules of this file
- Made from the error's text and path ("Expected `int`, got `str` - at `$[1].x`") after the fact: a good call
  pays nothing.
- A text ends with the function's signature, so that the next try is right.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from tincans.core.binding import Misfit, Parameters, missing_text
from tincans.core.hints import spoken
from tincans.core.signature import EMPTY, Kind
from tincans.errors import ArgumentError

_PLACE = re.compile(r"(?P<text>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?P<more>.*?)(?:, got (?P<got>.+))?", re.DOTALL)
_LENGTH = re.compile(r"Expected `array` of (?:at (?:least|most) )?length (?P<wanted>\d+)(?:, got (?P<got>\d+))?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_STEP = re.compile(r"^(?:\[(?P<index>\d+)\]|\.(?P<name>\w+))(?P<rest>.*)$", re.DOTALL)
_PYTHON_WORDS = {"array": "list", "object": "dict", "null": "None"}
_JSON_WORDS = re.compile(rf"(?<![\w.])(?:{'|'.join(_PYTHON_WORDS)})(?![\w.])")
_MOST_SHOWN = 60
"""Characters of a stranger's name that an error repeats."""


def refusal(
    name: str, text: str, parameters: Parameters, error: Exception, *, named: bool, count: int | None
) -> ArgumentError:
    """The error for the caller. `named`: the keywords were being read; `count`: how many positional ones came.

    `text` is the signature as people write it.
    """
    said = str(error) if isinstance(error, Misfit) else _said(parameters, str(error), named, count)
    return ArgumentError(f"{name}: {said}. Its signature: {text}", operation=f"call {name}")


def _said(parameters: Parameters, message: str, named: bool, count: int | None) -> str:
    place = _PLACE.fullmatch(message)
    text, path = (message, None) if place is None else (place["text"], place["path"])
    if not path:
        return _about_all(parameters, text, named, count)
    if place is not None and place["key"]:
        return f"a key of parameter {_where(parameters, path, named)} {_expectation(text)}"
    return f"parameter {_where(parameters, path, named)} {_expectation(text, _annotation(parameters, path, named))}"


def _about_all(parameters: Parameters, text: str, named: bool, count: int | None) -> str:
    """An error about the arguments as a whole: too few, too many, an unknown name, no list at all."""
    unknown = _UNKNOWN.fullmatch(text)
    if unknown is not None and named:
        return unknown_name(parameters, unknown["name"])
    length = _LENGTH.fullmatch(text)
    if length is None:
        what = "the keyword arguments" if named else "the arguments"
        return f"{what} cannot be read: {text.rstrip('.')}"
    got = count if length["got"] is None else int(length["got"])
    if got is not None and got > len(parameters.positional):
        return f"it takes {_most(len(parameters.positional))} by position, got {got}"
    names = [name for name, position in parameters.required.items() if position < len(parameters.positional)]
    return missing_text(names[got or 0 :] or names)


def _most(count: int) -> str:
    return "no argument" if count == 0 else "at most 1 argument" if count == 1 else f"at most {count} arguments"


def unknown_name(parameters: Parameters, name: str) -> str:
    """What to say of a keyword that no parameter has."""
    if name in parameters.positional_only:
        return f"parameter {name} is given by name, but can only be given by position"
    shown = repr(name if len(name) <= _MOST_SHOWN else name[:_MOST_SHOWN] + "...")
    close = difflib.get_close_matches(name[:_MOST_SHOWN], list(parameters.named), 1)
    return f"it has no parameter {shown}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _where(parameters: Parameters, path: str, named: bool) -> str:
    """`[1].items[3]` as the path inside a parameter: `b.items[3]`."""
    step = _STEP.match(path)
    if step is None or (step["index"] is None) is not named:
        return path.lstrip(".")
    if step["index"] is None:
        return f"{step['name']}{step['rest']}"
    index, names = int(step["index"]), list(parameters.positional)
    if index < len(names):
        return f"{names[index]}{step['rest']}"
    return f"*{_name_of_kind(parameters, Kind.VAR_POSITIONAL)}[{index - len(names)}]{step['rest']}"


def _annotation(parameters: Parameters, path: str, named: bool) -> str:
    """What the parameter at `path` is annotated with; "" for a place inside of one."""
    step = _STEP.match(path)
    if step is None or step["rest"] or parameters.signature is None:
        return ""
    names, kind = list(parameters.positional), Kind.VAR_KEYWORD if named else Kind.VAR_POSITIONAL
    name = step["name"] if named else dict(enumerate(names)).get(int(step["index"] or 0), "")
    known = parameters.signature.parameters
    found = known.get(name) or known.get(_name_of_kind(parameters, kind))
    return "" if found is None or found.annotation is EMPTY else spoken(found.annotation)


def _name_of_kind(parameters: Parameters, kind: Any) -> str:
    found = [] if parameters.signature is None else list(parameters.signature.parameters.values())
    return next((each.name for each in found if each.kind is kind), "args")


def _expectation(text: str, annotation: str = "") -> str:
    """msgspec's words in Python's: "Expected `array`, got `null`" is "expects list, got None"."""
    found = _EXPECTED.fullmatch(text)
    if found is None:
        return f"does not fit: {text.rstrip('.')}"
    got = "" if found["got"] is None else f", got {_python(found['got'].replace('`', ''))}"
    if annotation and not found["more"]:
        return f"expects {annotation}{got}"
    return f"expects {_python(found['expected'])}{found['more']}{got}"


def _python(words: str) -> str:
    return _JSON_WORDS.sub(lambda word: _PYTHON_WORDS[word.group()], words)
