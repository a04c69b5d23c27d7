"""Who may import what, and the rules of the house: kept by the package, and red for a planted fault.

Rules of this file
- Each rule is run on every file of the package, and once on a fault made for it: a rule that cannot be
  broken protects nothing.
- The import contracts are those of pyproject.toml; here they are run on a copy of the package with faults planted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import house_rules
import pytest
from house_rules import RULES, Rule, SourceFile

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "tincans"
IMPORT_BUDGET_MS = 60.0

PLANTED = [
    (house_rules.opens_with_what_it_is, SourceFile("core.thing", "x = 1\n")),
    (house_rules.is_short, SourceFile("core.thing", "x = 1\n" * 501)),
    (house_rules.has_a_noun_for_a_name, SourceFile("toolkit.socket_utils", "")),
    (house_rules.has_a_noun_for_a_name, SourceFile("toolkit.manager", "")),
    (house_rules.is_finished, SourceFile("core.thing", "x = 1  # TO" + "DO: more\n")),
    (house_rules.unpickles_nothing, SourceFile("core.thing", "def f():\n    from pickle import loads\n")),
    (house_rules.unpickles_nothing, SourceFile("transports.mpx", "import shelve\n")),
    (house_rules.keeps_threads_and_loops_apart, SourceFile("finder", "import asyncio\n")),
    (house_rules.keeps_threads_and_loops_apart, SourceFile("transports.unix", "import threading\n")),
    (house_rules.loads_libraries_when_used, SourceFile("transports.redis", "import redis\n")),
    (house_rules.loads_libraries_when_used, SourceFile("cli", "import rich_click\n")),
    (house_rules.does_not_climb_to_the_face, SourceFile("peer", "import tincans\n")),
    (house_rules.does_not_climb_to_the_face, SourceFile("core.thing", "from tincans import connect, errors\n")),
    (house_rules.uses_one_word_each, SourceFile("transports.unix", "class A:\n    def recv(self): ...\n")),
    (house_rules.names_no_machine, SourceFile("core.thing", "x = '/ho" + "me/alice/x'\n")),
]

HARMLESS = [
    (house_rules.does_not_climb_to_the_face, SourceFile("core.thing", "from tincans import errors\n")),
    (house_rules.unpickles_nothing, SourceFile("transports.mp", "import pickle\n")),
    (house_rules.keeps_threads_and_loops_apart, SourceFile("pump.reader", "import threading\n")),
    (house_rules.keeps_threads_and_loops_apart, SourceFile("aio", "import asyncio\n")),
    (house_rules.loads_libraries_when_used, SourceFile("transports.redis", "def f():\n    import redis\n")),
    (house_rules.loads_libraries_when_used, SourceFile("cli.output", "import rich\n")),
    (
        house_rules.loads_libraries_when_used,
        SourceFile("core.values", "if TYPE_CHECKING:\n    import numpy\n"),
    ),
    (house_rules.names_no_machine, SourceFile("core.thing", "# /run/user, ./work/x and https://x.org/home/y\n")),
]

# A planted file, and the contract of pyproject.toml that it breaks.
BROKEN_CONTRACTS = [
    ("core/planted.py", "import tincans.toolkit", "Each room uses only the rooms below it"),
    ("core/planted.py", "import socket", "needs no system call, no thread and no clock"),
    ("wires/planted.py", "import time", "needs no system call, no thread and no clock"),
    ("wires/planted.py", "import tincans.transports", "Each room uses only the rooms below it"),
    ("transports/planted.py", "import tincans.wires", "Each room uses only the rooms below it"),
    ("transports/planted.py", "import tincans.transports.stranger", "A method does not know another method"),
    ("transports/planted.py", "import tincans.core.session", "does not know what they mean"),
    ("unknown_room.py", "", "Each room uses only the rooms below it"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    faults = [fault for file in house_rules.package_files(PACKAGE) for fault in rule(file)]
    assert not faults, f"{rule.__doc__}\n" + "\n".join(faults)


@pytest.mark.parametrize(("rule", "file"), PLANTED, ids=lambda part: getattr(part, "__name__", None))
def test_a_planted_fault_breaks_the_rule(rule: Rule, file: SourceFile) -> None:
    assert len(rule(file)) == 1


@pytest.mark.parametrize(("rule", "file"), HARMLESS, ids=lambda part: getattr(part, "__name__", None))
def test_the_rule_allows_what_it_should(rule: Rule, file: SourceFile) -> None:
    assert rule(file) == []


def test_every_rule_has_been_seen_red() -> None:
    assert {rule for rule, _ in PLANTED} == set(RULES)


def test_a_client_library_has_one_home() -> None:
    assert house_rules.libraries_with_two_homes(house_rules.package_files(PACKAGE)) == []


def test_a_second_home_for_a_client_library_is_noticed() -> None:
    files = [SourceFile(f"transports.{name}", "def f():\n    import redis\n") for name in ("redis", "valkey")]
    assert len(house_rules.libraries_with_two_homes(files)) == 1


def test_no_file_names_a_place_on_one_machine() -> None:
    rooms = [ROOT.glob("*.*"), *((ROOT / room).rglob("*") for room in ("docs", "src", "tests", ".ci"))]
    texts = [
        path for room in rooms for path in room if path.suffix in {".md", ".py", ".pyi", ".toml", ".c", ".h", ".sh"}
    ]
    assert ROOT / "README.md" in texts
    faults = []
    for path in texts:
        file = SourceFile("", path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
        faults += house_rules.names_no_machine(file)
    assert faults == []


def lint_imports(package_parent: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts on the copy of the package below `package_parent`."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml")],
        cwd=package_parent,
        env={**os.environ, "PYTHONPATH": str(package_parent), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_keeps_the_import_contracts() -> None:
    done = lint_imports(PACKAGE.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("where", "line", "contract"), BROKEN_CONTRACTS)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, where: str, line: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "tincans", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (tmp_path / "tincans" / "transports" / "stranger.py").touch()
    (tmp_path / "tincans" / where).write_text(f"{line}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    broken = [told for told in done.stdout.splitlines() if " BROKEN" in told]
    assert done.returncode == 1
    assert any(contract in told for told in broken), done.stdout + done.stderr


def import_cost(statement: str, cache: Path) -> float:
    """Milliseconds of processor time for `statement` in a fresh interpreter: the best of several.

    Processor time, not wall time, and the best, so that a busy machine does not turn a good import into a slow one;
    and with the bytecode written (below `cache`) by a first run, as it is on a user's machine.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    program = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    command = [sys.executable, "-c", program]
    runs = [subprocess.run(command, env=environment, capture_output=True, check=True) for _ in range(8)]
    return min(float(run.stdout) for run in runs[1:]) * 1000


@pytest.mark.alone
def test_importing_tincans_stays_within_its_budget(tmp_path: Path) -> None:
    assert import_cost("import tincans", tmp_path) <= IMPORT_BUDGET_MS


def test_an_import_over_budget_is_noticed(tmp_path: Path) -> None:
    burn = "import tincans; sum(1 for _ in iter(lambda: time.process_time() - start > 0.1, True))"
    assert import_cost(burn, tmp_path) > IMPORT_BUDGET_MS


def foreign_modules(statement: str) -> set[str]:
    """Packages outside the standard library and Tincans that `statement` loads in a fresh interpreter."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in run.stdout.split()}
    return {root for root in roots if root not in sys.stdlib_module_names} - {"tincans"}


def test_importing_tincans_loads_nothing_but_msgspec() -> None:
    assert foreign_modules("import tincans") <= foreign_modules("import msgspec")


def test_a_foreign_library_at_import_is_noticed() -> None:
    assert "pluggy" in foreign_modules("import tincans, pluggy")
