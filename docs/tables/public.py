"""The public list: what `import tincans` gives, the errors with their codes, and the words of the command line.

Rules of this file
- Names come from `tincans.__all__`, signatures from the code, sentences from the docstrings' first lines.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import click

import tincans
from tincans import errors
from tincans.cli.exits import MEANINGS, code_for
from tincans.cli.program import tincans as command

FACES = ("Server", "Peer", "Messages", "Queue", "Job", "State", "Flag", "Lock", "Ticket", "SingleInstance")


def functions() -> str:
    """The functions of the package."""
    found = [n for n in tincans.__all__ if inspect.isfunction(getattr(tincans, n))]
    return listed([(f"tincans.{name}", getattr(tincans, name)) for name in found])


def classes() -> str:
    """What the objects that users meet can do."""
    return "\n\n".join(class_section(name) for name in FACES)


def class_section(name: str) -> str:
    """One class: its first sentence and its public methods."""
    cls = getattr(tincans, name)
    members = [(f".{n}", m) for n, m in vars(cls).items() if not n.startswith("_") and is_shown(m)]
    return f"### {name}\n\n{first_sentence(cls)}\n\n{listed(members)}"


def is_shown(member: Any) -> bool:
    """Methods and properties."""
    return inspect.isfunction(member) or isinstance(member, property)


def listed(members: list[tuple[str, Any]]) -> str:
    """A table of names with what they do."""
    lines = ["| | |", "|---|---|"]
    for name, member in members:
        text = first_sentence(member.fget if isinstance(member, property) else member)
        lines.append(f"| `{name}{arguments(member)}` | {text} |")
    return "\n".join(lines)


def arguments(member: Any) -> str:
    """A signature without its types, as a caller writes it."""
    if isinstance(member, property):
        return ""
    signature = inspect.signature(member)
    kept = [bare(parameter) for name, parameter in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept, return_annotation=inspect.Signature.empty))


def bare(parameter: inspect.Parameter) -> inspect.Parameter:
    """Without its type; a type as a default by its name."""
    default = parameter.default
    if isinstance(default, type) and default is not inspect.Parameter.empty:
        parameter = parameter.replace(default=Written(default.__name__))
    return parameter.replace(annotation=inspect.Parameter.empty)


class Written(str):
    """A text that stands in a signature as it is."""

    def __repr__(self) -> str:
        return str(self)


def first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring, in one line, fit for a table."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def error_table() -> str:
    """Every error: its code, what else it is, whether trying again may help, the exit code of a command."""
    lines = ["| error | code | also | again? | exit | when |", "|---|---|---|---|---|---|"]
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.TincansError):
            also = ", ".join(f"`{base.__name__}`" for base in built_in(cls))
            again = "yes" if cls.temporary else ""
            exit_code = "" if cls is errors.TincansError else str(int(code_for(cls(""))))
            cells = (f"`{name}`", f"`{cls.code}`", also, again, exit_code, first_sentence(cls))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def built_in(cls: type) -> list[type]:
    """The built-in errors that somebody would catch it by: not those that every error is."""
    found = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    narrow = [base for base in found if base not in (object, BaseException, Exception)]
    return [base for base in narrow if not any(other is not base and issubclass(other, base) for other in narrow)]


def command_table() -> str:
    """The words of `tincans`, with their arguments."""
    lines = ["| command | what it does |", "|---|---|"]
    for name, word in sorted(command.commands.items()):
        context = click.Context(word, info_name=name)
        pieces = [piece for piece in word.collect_usage_pieces(context) if piece != "[OPTIONS]"]
        usage = " ".join(["tincans", name, *pieces]).replace("|", "\\|")
        text = " ".join(re.split(r"\n\n|\x08", inspect.cleandoc(word.help or ""))[0].split())
        lines.append(f"| `{usage}` | {text} |")
    return "\n".join(lines)


def exit_codes() -> str:
    """What a command's exit code says."""
    lines = ["| exit code | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items())])
