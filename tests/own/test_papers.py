"""The papers say what is true: every example runs, every table is what the code says, every link leads somewhere."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own.paper import Block, Reader, programs_named_in, sections
from servers.needed import needed
from servers.redis import redis

import tincans
from tincans import errors

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/adr/*.md")])
BY_SECTION = ("README.md", "docs/how-to.md", "docs/big-data.md")
PACKAGES = {"curl": "curl", "flock": "util-linux", "openssl": "openssl", "redis-cli": "redis-tools"}


def examples() -> Iterator[tuple[str, list[Block]]]:
    """Each section by itself; the tutorial, which is one story, as a whole."""
    for name in BY_SECTION:
        for heading, blocks in sections((ROOT / name).read_text()):
            yield f"{Path(name).stem}: {heading or 'beginning'}", blocks
    tutorial = sections((ROOT / "docs" / "tutorial.md").read_text())
    yield "tutorial", [block for _, blocks in tutorial for block in blocks]


EXAMPLES = list(examples())


@pytest.mark.parametrize("blocks", [b for _, b in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_a_reader_who_does_what_the_paper_says_sees_what_it_says(blocks: list[Block], tmp_path: Path) -> None:
    for name in programs_named_in(blocks):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    with contextlib.ExitStack() as stack:
        uses_redis = any("redis://localhost" in block.text for block in blocks)
        place = stack.enter_context(needed(redis)) if uses_redis else ""
        Reader(tmp_path, redis=place).follow(blocks)


def test_the_first_two_programs_talk(tmp_path: Path) -> None:
    _, blocks = sections((ROOT / "README.md").read_text())[0]
    said = Block("text", "7\n")
    Reader(tmp_path).follow([*blocks[:2], Block("sh", "python alice.py &\npython bob.py\n"), said])


def test_the_tables_are_what_the_code_says() -> None:
    words = [sys.executable, ROOT / "docs" / "table.py", "--check"]
    checked = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_table_that_is_out_of_date_is_noticed(tmp_path: Path) -> None:
    for name in ("docs", "README.md"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    limits = tmp_path / "docs" / "limits.md"
    limits.write_text(limits.read_text().replace(" 30 s |", " 31 s |"))
    words = [sys.executable, tmp_path / "docs" / "table.py", "--check"]
    checked = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout) == (1, "not up to date: docs/limits.md; run: make table\n")


@pytest.mark.parametrize("paper", PAPERS, ids=[str(paper.relative_to(ROOT)) for paper in PAPERS])
def test_every_link_leads_somewhere(paper: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", paper.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (paper.parent / name).resolve() if name else paper
        assert other.exists(), f"{target}: there is no {name}"
        if anchor:
            assert anchor in anchors(other), f"{target}: {other.name} has no such heading"


def anchors(paper: Path) -> set[str]:
    """The headings of a paper as they are linked to."""
    headings = re.findall(r"^#+ (.*)$", paper.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_decisions_are_numbered_one_by_one() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        assert (ROOT / "docs" / "adr" / name).read_text().startswith(f"# {int(name[:4])}. ")


def test_every_error_is_in_the_public_list() -> None:
    defined = {n for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, errors.TincansError)}
    assert defined - set(tincans.__all__) == set()


def test_every_file_that_is_named_in_words_is_there() -> None:
    rooms = "|".join(p.name for p in (ROOT / "src" / "tincans").iterdir() if p.is_dir() and p.name[0] != "_")
    named = re.compile(rf"(?<![\w/.])((?:(?:src/tincans/)?(?:{rooms})|tests|docs)/[\w/]+\.(?:py|md|c))\b")
    house = ROOT / "src" / "tincans"
    missing = []
    for path in [*PAPERS, *house.rglob("*.py")]:
        for name in named.findall(path.read_text()):
            if "NAME" not in name and not any((place / name).is_file() for place in (ROOT, house, path.parent)):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert missing == []
