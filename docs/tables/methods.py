"""The tables of methods, from their facts, and how each URL is written, from the methods' own docstrings and options.

Rules of this file
- Nothing here is typed by hand: a cell is a fact, a default or a paragraph that stands beside the code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import tincans
from tincans import wires
from tincans.core.address import Option
from tincans.facts import VERBS, Facts, No
from tincans.finder import find_protocol, find_transport, find_wire, is_protocol, names


def short_table() -> str:
    """One line a method: what each verb is."""
    lines = [f"| method | {' | '.join(VERBS)} | reach | for |", f"|---|{'---|' * len(VERBS)}---|---|"]
    for name, facts in ordered():
        marks = " | ".join(mark(facts, verb) for verb in VERBS)
        lines.append(f"| `{name}:` | {marks} | {facts.reach} | {facts.summary} |")
    return "\n".join(lines)


def mark(facts: Facts, verb: str) -> str:
    """native, hub, or a dash."""
    verdict = facts.verdict(verb)  # type: ignore[arg-type]
    return "-" if isinstance(verdict, No) else verdict.by


def ordered() -> list[tuple[str, Facts]]:
    """The methods by reach, then by name."""
    reaches = ("one program", "one machine", "network")
    return sorted(tincans.methods().items(), key=lambda item: (reaches.index(item[1].reach), item[0]))


def long_table() -> str:
    """A section a method: every fact of it."""
    return "\n\n".join(section(name, facts) for name, facts in ordered())


def section(name: str, facts: Facts) -> str:
    """All that one method says of itself."""
    rows = [
        ("verbs", ", ".join(f"{v} ({mark(facts, v)})" for v in VERBS if mark(facts, v) != "-")),
        ("order", facts.order),
        ("delivery", facts.delivery),
        ("survives", facts.survives),
        ("reach", facts.reach),
        ("platforms", f"{', '.join(facts.platforms)} (untested: {', '.join(facts.untested) or 'none'})"),
        ("leaves behind", facts.leaves_behind),
        ("needs", facts.service or (f"pip install 'tincans[{facts.extra}]'" if facts.extra else "nothing more")),
        ("largest message", largest_message(name, facts)),
    ]
    refused = [(v, no) for v in VERBS if isinstance(no := facts.verdict(v), No)]
    lines = [f"## `{name}:`", "", f"{facts.summary}.", "", "| | |", "|---|---|"]
    lines += [f"| {what} | {text} |" for what, text in rows]
    lines += [f"| no {verb} | {no.reason}; instead: `{no.instead}:` |" for verb, no in refused]
    return "\n".join(lines)


def largest_message(name: str, facts: Facts) -> str:
    """How much goes at once: the method's own bound, or what `max_message` allows by itself."""
    if facts.largest_message:
        return f"{facts.largest_message:,} bytes"
    options = options_of(name)
    if "max_message" in options:
        return f"`max_message`, {shown(options['max_message'])}"
    return f"a value: half of `size`, {shown(options['size'])}" if "size" in options else "one bit"


def options_of(name: str) -> Mapping[str, Option]:
    """The options of a method's URL."""
    method: Any = find_protocol(name) if is_protocol(name) else find_transport(name)
    options: Mapping[str, Option] = method.options
    return options


def shown(option: Option) -> str:
    """A default as it may be written in a URL.

    >>> shown(Option(int, 1 << 30, "")), shown(Option(bool, True, "")), shown(Option(float, 5.0, ""))
    ('1G', 'yes', '5')
    """
    value = option.default
    if option.kind is bool:
        return "yes" if value else "no"
    if option.kind is str:
        return str(value)
    for letter, size in (("G", 1 << 30), ("M", 1 << 20)):
        if value and value % size == 0:
            return f"{value // size}{letter}"
    return f"{value:g}" if option.kind is float else str(value)


def docstring_part(name: str, heading: str) -> str:
    """What a method's docstring says after a heading such as URL or Limits, in one line."""
    room = "protocols" if is_protocol(name) else "transports"
    options_of(name)  # imports it
    text = sys.modules[f"tincans.{room}.{name}"].__doc__ or ""
    kept: list[str] = []
    for line in text.splitlines():
        word = line.partition(":")[0]
        if word in ("URL", "Options", "Delivery", "Leaves behind", "Limits") or not line.strip():
            if kept:
                break
            if word == heading:
                kept.append(line.partition(":")[2])
        elif kept:
            kept.append(line)
    return " ".join(" ".join(kept).split())


def urls() -> str:
    """A section a method: how its URL is written, and its options."""
    return "\n\n".join(url_section(name, facts) for name, facts in ordered())


def url_section(name: str, facts: Facts) -> str:
    """How one method's URL is written."""
    written = docstring_part(name, "URL").rstrip(".")
    lines = [f"### `{name}:`", "", f"{written[0].upper()}{written[1:]}."]
    options = options_of(name)
    return "\n".join([*lines, "", option_table(options)] if options else [*lines, "", "No options."])


def option_table(options: Mapping[str, Option]) -> str:
    """Options with their defaults."""
    lines = ["| option | default | what it is |", "|---|---|---|"]
    for name, option in options.items():
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        default = shown(option)
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {option.about}{choices} |")
    return "\n".join(lines)


def wire_table() -> str:
    """One line a wire: what it is, and which verbs it can say."""
    lines = ["| wire | what it is | cannot say |", "|---|---|---|"]
    for name in names(wires, "tincans.wires"):
        wire = find_wire(name)
        refused: dict[str, list[str]] = {}
        for verb in VERBS:
            if isinstance(no := wire.facts.verdict(verb), No):
                refused.setdefault(no.reason, []).append(verb)
        why = "; ".join(f"{', '.join(verbs)}: {reason}" for reason, verbs in refused.items())
        lines.append(f"| `{name}` | {wire.facts.summary} | {why} |")
    return "\n".join(lines)
