"""The rules of the house that an import graph cannot say, each a pure function from a file to its faults.

Rules of this file
- A rule takes a `SourceFile` and returns sentences, one for each fault; no fault is an empty list.
- A rule says why it exists in its docstring. An exception from a rule is named here, beside the rule, with its reason.
- tests/test_architecture.py runs each rule on the package and shows each one red on a planted fault.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MOST_LINES = 500
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"})
ONE_WORD = {"recv": "receive", "read": "receive", "pop": "take"}
# These stand where a socket of the standard library may stand, so they have its methods.
SHAPED_LIKE_A_SOCKET = ("toolkit.byte_stream", "toolkit.stream", "toolkit.tls_socket")
PICKLES = frozenset({"pickle", "_pickle", "pickletools", "cloudpickle", "dill", "marshal", "shelve"})

# Which standard modules may be imported only where. A name that ends in a dot stands for a file or a whole room.
RESTRICTED = {
    "asyncio": ("aio.", "toolkit.asyncio_bridge", "protocols.", "conformance.", "bench."),
    # The faces wait for signals (server) and follow topics (verbs) on a thread; all other threads are the pump's.
    "threading": ("pump.", "toolkit.", "transports.memory", "conformance.", "bench.", "server", "verbs."),
}
# The one public list: the rooms below must not climb up to it.
MAY_USE_THE_FACE = ("__main__", "bench.", "cli.", "conformance.")
ROOMS = frozenset(
    {
        "_speed",
        "contracts",
        "core",
        "errors",
        "facts",
        "finder",
        "protocols",
        "pump",
        "sharing",
        "toolkit",
        "transports",
        "version",
        "wires",
    }
)
# What `import tincans` may load at once. Tools that a user starts on purpose may load theirs at the top.
ALWAYS_THERE = frozenset({"msgspec", "tincans"})
MAY_LOAD_AT_ONCE = ("cli.", "conformance.")
# Libraries of values, not of methods: several rooms rebuild arrays and frames.
VALUE_LIBRARIES = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch"})
# Speaks a foreign protocol that carries pickles, and refuses to start before the user says so.
MAY_PICKLE = ("transports.mp", "protocols.mp")

_MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work)/\w[\w./-]*|\.pye[n]v\b|\b[A-Z]:\\Users\\")
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")  # split, so that this file keeps its own rule


@dataclass(frozen=True)
class SourceFile:
    """One file: its name inside the package (`core.hub`; "" for the package itself) and its text."""

    module: str
    text: str
    path: str = "planted.py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclass(frozen=True)
class Import:
    """One imported module; `late` when inside a function, so that it is loaded when used."""

    module: str
    line: int
    late: bool

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


Rule = Callable[[SourceFile], list[str]]


def package_files(root: Path) -> Iterator[SourceFile]:
    """Every Python file of the package at `root` (`src/tincans`)."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield SourceFile(name, path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.Module) -> Iterator[Import]:
    """What a file imports, without what only a type checker sees."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, late = waiting.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += [(child, late) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (Import(name, node.lineno, late) for name in _named(node))
        late = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        waiting += [(child, late) for child in ast.iter_child_nodes(node)]


def _named(node: ast.ImportFrom) -> set[str]:
    """`from tincans import errors` names a room of the package, not its face."""
    whole = node.module or ""
    if whole != "tincans":
        return {whole}
    return {f"tincans.{alias.name}" if alias.name in ROOMS else "tincans" for alias in node.names}


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _is_in(module: str, places: Iterable[str]) -> bool:
    return any(module == place or (place.endswith(".") and f"{module}.".startswith(place)) for place in places)


def opens_with_what_it_is(file: SourceFile) -> list[str]:
    """A reader learns from the first lines what a file is."""
    return [] if ast.get_docstring(file.tree) else [f"{file.path}: no docstring at the top that says what the file is"]


def is_short(file: SourceFile) -> list[str]:
    """A file that one person can hold in mind."""
    lines = file.text.count("\n")
    return [f"{file.path}: {lines} lines; at most {MOST_LINES}"] if lines > MOST_LINES else []


def has_a_noun_for_a_name(file: SourceFile) -> list[str]:
    """A drawer named `utils` collects everything."""
    bad = BANNED_NAMES.intersection(re.split(r"[._]", file.module))
    return [f"{file.path}: {word!r} names no thing" for word in sorted(bad)]


def is_finished(file: SourceFile) -> list[str]:
    """What is not done is not in the tree."""
    lines = file.text.splitlines()
    return [f"{file.path}:{n}: unfinished" for n, line in enumerate(lines, 1) if _UNFINISHED.search(line)]


def unpickles_nothing(file: SourceFile) -> list[str]:
    """A pickle from a stranger is a program from a stranger."""
    if _is_in(file.module, MAY_PICKLE):
        return []
    return [f"{file.path}:{i.line}: imports {i.module}" for i in imports(file.tree) if i.root in PICKLES]


def keeps_threads_and_loops_apart(file: SourceFile) -> list[str]:
    """Concurrency lives in few rooms, so that everything else can be read alone."""
    return [
        f"{file.path}:{i.line}: {i.root} belongs to {', '.join(RESTRICTED[i.root])}"
        for i in imports(file.tree)
        if i.root in RESTRICTED and not _is_in(file.module, RESTRICTED[i.root])
    ]


def loads_libraries_when_used(file: SourceFile) -> list[str]:
    """Nobody pays, in time or in packages, for a method that she does not use."""
    if _is_in(file.module, MAY_LOAD_AT_ONCE) and file.module != "cli":
        return []
    free = ALWAYS_THERE | sys.stdlib_module_names
    return [
        f"{file.path}:{i.line}: loads {i.root} at import; import it inside the function that needs it"
        for i in imports(file.tree)
        if not i.late and i.root not in free
    ]


def does_not_climb_to_the_face(file: SourceFile) -> list[str]:
    """The rooms hold the face up, not the other way round."""
    if _is_in(file.module, MAY_USE_THE_FACE):
        return []
    return [f"{file.path}:{i.line}: imports the public face" for i in imports(file.tree) if i.module == "tincans"]


def uses_one_word_each(file: SourceFile) -> list[str]:
    """The same thing has the same name everywhere: `receive`, never also recv or read."""
    if _is_in(file.module, SHAPED_LIKE_A_SOCKET):
        return []
    owners = [node for node in ast.walk(file.tree) if isinstance(node, (ast.Module, ast.ClassDef))]
    named = [n for owner in owners for n in owner.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [
        f"{file.path}:{node.lineno}: {node.name} is called {ONE_WORD[node.name]} here"
        for node in named
        if node.name in ONE_WORD
    ]


def names_no_machine(file: SourceFile) -> list[str]:
    """A stranger's machine has other directories. Used on documents as well as on code."""
    lines = file.text.splitlines()
    return [
        f"{file.path}:{n}: names a place on one machine: {found.group()}"
        for n, line in enumerate(lines, 1)
        if (found := _MACHINE_PATH.search(line))
    ]


RULES: tuple[Rule, ...] = (
    opens_with_what_it_is,
    is_short,
    has_a_noun_for_a_name,
    is_finished,
    unpickles_nothing,
    keeps_threads_and_loops_apart,
    loads_libraries_when_used,
    does_not_climb_to_the_face,
    uses_one_word_each,
    names_no_machine,
)


def libraries_with_two_homes(files: Iterable[SourceFile]) -> list[str]:
    """A client library that two files of the methods import: the second should ask the first."""
    homes: dict[str, set[str]] = {}
    for file in files:
        if file.module.partition(".")[0] in {"transports", "wires", "protocols", "toolkit"}:
            for i in imports(file.tree):
                if i.root not in ALWAYS_THERE | VALUE_LIBRARIES | sys.stdlib_module_names:
                    homes.setdefault(i.root, set()).add(_home(file.module))
    return [f"{name} is imported in {', '.join(sorted(at))}" for name, at in sorted(homes.items()) if len(at) > 1]


def _home(module: str) -> str:
    """A protocol may be a folder of several files; everything else is one file."""
    return ".".join(module.split(".")[:2]) if module.startswith("protocols.") else module
