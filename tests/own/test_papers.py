"""The papers say what is true: the README's examples run, the tables are the facts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BIG_DATA = (ROOT / "docs" / "big-data.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_tables_are_the_facts() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "table.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout


def test_the_first_two_programs_talk(tmp_path: Path) -> None:
    alice, bob = (textwrap.dedent(block) for block in BLOCKS[:2])
    (tmp_path / "alice.py").write_text(alice)
    (tmp_path / "bob.py").write_text(bob)
    environment = {"TINCANS_RUNTIME_DIR": str(tmp_path / "run"), "PATH": "/usr/bin:/bin"}
    serving = subprocess.Popen([sys.executable, tmp_path / "alice.py"], env=environment)
    try:
        said = subprocess.run(
            [sys.executable, tmp_path / "bob.py"], env=environment, capture_output=True, text=True, timeout=30
        )
        assert said.stdout == "7\n", said.stderr
    finally:
        serving.terminate()
        assert serving.wait(10) == 0


@pytest.mark.parametrize("block", [*BLOCKS[2:], *re.findall(r"```python\n(.*?)```", BIG_DATA, re.DOTALL)])
def test_the_other_examples_run(block: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TINCANS_RUNTIME_DIR": str(tmp_path / "run")}
    ran = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=60, env=environment)
    assert ran.returncode == 0, ran.stderr
