"""The proofs of the C ring in their short versions; `make -C tests/ring all` runs them in full.

Rules of this file
- Each test builds its program into a fresh directory and runs it; the program says what it promises.
- Without a C compiler there is no core to prove; the model check needs `spin`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from servers.needed import installed

PROOFS = Path(__file__).parent.parent / "ring"
PATIENCE = 300.0


def prove(target: str, build: Path, **sizes: int) -> str:
    """What `make target` printed; fails the test with its output when it is not zero."""
    installed("cc", "gcc")
    words = [f"{name}={value}" for name, value in sizes.items()]
    command = ["make", "--no-print-directory", "-C", str(PROOFS), f"BUILD={build}", *words, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_threads_on_one_ring_have_no_data_race(tmp_path: Path) -> None:
    assert "all right" in prove("tsan", tmp_path, MESSAGES=2000)


def test_a_hostile_program_does_no_harm_through_the_ring(tmp_path: Path) -> None:
    assert "no harm" in prove("hostile", tmp_path, STATES=200_000)


def test_a_death_at_any_step_is_seen_at_once_and_tears_nothing(tmp_path: Path) -> None:
    assert "nothing left" in prove("kill", tmp_path, MOMENTS=40)


def test_the_models_are_clean_and_find_every_planted_bug(tmp_path: Path) -> None:
    installed("spin", "spin")
    told = prove("model", tmp_path).splitlines()
    assert sum(line.endswith("clean") for line in told) == 3
    assert sum(line.endswith("found") for line in told) == 10
