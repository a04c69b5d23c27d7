"""Promises of toolkit/document/json_document.py among the threads of one program."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tincans.errors import WaitTimeoutError
from tincans.toolkit.document.json_document import JsonDocument


@pytest.fixture
def document(tmp_path: Path) -> JsonDocument:
    return JsonDocument(tmp_path / "a.json", fsync=False)


def test_what_a_block_that_raises_has_changed_is_forgotten(document: JsonDocument) -> None:
    with document.changing(timeout=1) as draft:
        draft.section("state")["k"] = 1
    with pytest.raises(RuntimeError), document.changing(timeout=1) as draft:
        draft.section("state")["k"] = 2
        raise RuntimeError
    assert document.now() == {"state": {"k": 1}}


def test_a_change_whose_time_is_over_already_is_refused_and_nothing_else(document: JsonDocument) -> None:
    with document.changing(timeout=1), pytest.raises(WaitTimeoutError), document.changing(timeout=-1.0):
        pass
    with document.changing(timeout=-1.0) as draft:
        draft.section("state")["k"] = 1


def test_threads_and_documents_take_turns(document: JsonDocument) -> None:
    other = JsonDocument(document.path, fsync=False)

    def count(of: JsonDocument) -> None:
        for _ in range(50):
            with of.changing(timeout=30) as draft:
                draft.next_number()

    threads = [threading.Thread(target=count, args=(of,)) for of in (document, document, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert document.now() == other.now() == {"count": 200}


def test_a_new_file_with_the_inode_and_size_of_the_old_one_is_news(tmp_path: Path, document: JsonDocument) -> None:
    other = JsonDocument(document.path, fsync=False)
    for number in range(10):
        for _ in range(2):  # twice, so that the second one may get the inode that the first one's predecessor had
            with document.changing(timeout=1) as draft:
                draft.section("state")["k"] = number
        assert other.now() == {"state": {"k": number}}
