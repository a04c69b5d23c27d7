"""Files at planted names are refused, and their victims stay as they were."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tincans.errors import AddressError, DeniedError
from tincans.toolkit.files.private_file import open_private, same_file


def plant_link(path: Path) -> None:
    path.symlink_to(path.with_name("victim"))


def plant_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def plant_hard_link(path: Path) -> None:
    path.hardlink_to(path.with_name("victim"))


def plant_pipe(path: Path) -> None:
    os.mkfifo(path)


def plant_directory(path: Path) -> None:
    path.mkdir()


def plant_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(str(path))


PLANTS = [plant_link, plant_dangling_link, plant_hard_link, plant_pipe, plant_directory, plant_socket]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("create", [True, False])
def test_what_was_planted_is_refused_and_its_victim_unchanged(
    tmp_path: Path, plant: Callable[[Path], None], create: bool
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "name"
    victim.write_text("precious")
    plant(path)
    with pytest.raises(DeniedError, match="name"):
        open_private(path, create=create)
    assert victim.read_text() == "precious"
    assert os.path.lexists(path)
    assert not (tmp_path / "nowhere").exists()


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").touch()
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(DeniedError, match=f"user {real}"):
        open_private(tmp_path / "name", create=False)


def test_a_new_file_is_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(open_private(tmp_path / "name", create=True))
    finally:
        os.umask(before)
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o600


def test_an_opened_file_does_not_survive_an_exec(tmp_path: Path) -> None:
    descriptor = open_private(tmp_path / "name", create=True)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="Make it first"):
        open_private(tmp_path / "missing" / "name", create=True)


def test_a_file_that_is_not_there_and_not_to_be_made_is_just_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "name", create=False)


def test_a_replaced_or_removed_file_is_not_the_same(tmp_path: Path) -> None:
    path = tmp_path / "name"
    descriptor = open_private(path, create=True)
    assert same_file(path, descriptor)
    path.unlink()
    assert not same_file(path, descriptor)
    path.touch()
    assert not same_file(path, descriptor)
    os.close(descriptor)
