"""What somebody may have planted where Tincans keeps a file, each made at `path`; `victim` is what it stands for."""

from __future__ import annotations

import os
from pathlib import Path


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("absent"))


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def fifo(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, victim: Path) -> None:
    path.mkdir()


def anothers_file(path: Path, victim: Path) -> None:
    path.write_text("{}")
    os.chown(path, 65534, 65534)


PLANTS = [link, dangling_link, hard_link, fifo, directory, *([anothers_file] * (os.geteuid() == 0))]
"""All that this user can plant: only root can make another user's file."""
