"""A serving program that has just begun: who calls it before it has exposed anything."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import tincans
from tincans.pump import host


def test_a_name_is_waited_for_while_further_urls_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    asked = threading.Event()
    open_url = host.Host.open

    def call() -> None:
        with tincans.connect("memory:early") as bob:
            asked.set()
            heard.append(bob.call.add(2, 5))

    def slow(self: host.Host, url: str) -> str:
        """The second URL takes longer to open than a name is waited for."""
        if url == "memory:late":
            caller.start()
            assert asked.wait(10)
            assert not threading.Event().wait(0.2)
        return open_url(self, url)

    caller = threading.Thread(target=call)
    monkeypatch.setattr(host, "SETTING_UP", 0.05)
    monkeypatch.setattr(host.Host, "open", slow)
    with tincans.serve("memory:early", "memory:late") as alice:
        alice.expose(lambda a, b: a + b, name="add")
        caller.join(10)
    assert heard == [7]
