"""Promises of `tincans.single`: one instance at a time, by a kernel lock, and whoever is refused is told by whom."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tincans
import tincans.aio
from tincans.errors import AddressError, DeniedError, NameInUseError
from tincans.toolkit.files.runtime_directory import path_of

HOLDER = "import sys, tincans\nonly = tincans.single(sys.argv[1])\nprint('ready', flush=True)\ninput()\n"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"single-{os.getpid()}-{abs(hash(request.node.name)) % 10**6}"


def start_holder(name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, name]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def test_a_second_instance_does_not_start_and_is_told_who_holds_the_name(name: str) -> None:
    holder = start_holder(name)
    try:
        with pytest.raises(NameInUseError) as caught:
            tincans.single(name)
        text = str(caught.value)
        assert f"pid {holder.pid}, started 2" in text
        assert f"kill {holder.pid}" in text
        assert "import sys, tincans" in text
        assert str(path_of(name, ".single.lock")) in text
    finally:
        holder.communicate("\n")
    tincans.single(name).release()


def test_the_name_of_a_killed_program_is_free_at_once(name: str) -> None:
    holder = start_holder(name)
    holder.kill()
    began = time.monotonic()
    holder.communicate()
    with tincans.single(name):
        assert time.monotonic() - began < 1


def test_the_file_goes_with_the_block(name: str) -> None:
    path = path_of(name, ".single.lock")
    with tincans.single(name) as only:
        assert only.path == path
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_it_is_the_same_in_the_async_face(name: str) -> None:
    async def main() -> None:
        async with tincans.aio.single(name):
            with pytest.raises(NameInUseError, match=str(os.getpid())):
                tincans.single(name)
        tincans.single(name).release()

    asyncio.run(main())


def test_a_forked_child_does_not_hold_it_on(name: str) -> None:
    only = tincans.single(name)
    child = os.fork()
    if not child:
        sys.stdin.close()
        time.sleep(30)
        os._exit(0)
    try:
        only.release()
        tincans.single(name).release()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("bad", ["", "a/b", "../x", ".x", "-x", "x" * 101])
def test_a_name_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(AddressError, match="not a name"):
        tincans.single(bad)


def test_a_planted_link_is_refused_and_its_victim_unchanged(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = path_of(name, ".single.lock")
    path.symlink_to(victim)
    try:
        with pytest.raises(DeniedError):
            tincans.single(name)
        assert victim.read_text() == "precious"
    finally:
        path.unlink()
