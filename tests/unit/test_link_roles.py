"""The reading role of a link: whoever leaves without reading hands its turn on."""

from __future__ import annotations

import threading
import time

import tincans
from tincans.conformance.patience import eventually
from tincans.core.messages import Request
from tincans.pump.waiter import Waiter


class Unlucky(Waiter):
    """Its time is up at the very moment when it is nudged."""

    __slots__ = ("asleep", "nudged")

    def __init__(self) -> None:
        super().__init__("unlucky")
        self.asleep = threading.Event()
        self.nudged = threading.Event()

    def sleep(self, timeout: float | None) -> None:
        self.asleep.set()
        assert self.nudged.wait(5)
        time.sleep(timeout or 0)


def test_a_waiter_that_gives_up_does_not_take_the_others_turn_with_it() -> None:
    with tincans.serve("unix:roles") as server:
        server.expose(lambda: 7, name="seven")
        with tincans.connect(server.url) as peer:
            link = peer._way.link(1.0)
            assert link.reading.acquire(False)
            unlucky, patient = Unlucky(), Waiter("patient")
            first = threading.Thread(target=link.wait, args=(unlucky, 0.05))
            first.start()
            assert unlucky.asleep.wait(5)
            number = link.session.new_id()
            link.session.calls[number] = patient
            link.send(Request(number, "seven", ()), timeout=1.0)
            second = threading.Thread(target=link.wait, args=(patient, 10.0))
            second.start()
            eventually(lambda: len(link.parked) == 2)
            link.pass_on()  # nudges the unlucky one, which leaves
            unlucky.nudged.set()
            second.join(3)
            assert patient.settled
            first.join(5)
