"""The serving program as a public protocol sees it: functions to run, and the hub to ask.

Rules of this file
- A protocol's thread runs the function itself; an async function runs where the program's async functions run.
- `caller()` works in a function that came this way too: it tells who calls, but there is no way back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from tincans.contracts import Identity, Wire
from tincans.core.dispatch import Exposed
from tincans.core.failures import survivable
from tincans.core.messages import Request
from tincans.errors import CallTimeoutError, TincansError, UnsupportedError
from tincans.pump.execution import LOOK_AGAIN, calling_now

if TYPE_CHECKING:
    from tincans.pump.host import Host


class Visitor:
    """What `caller()` needs of a link, for a call that came by a public protocol."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.dead: TincansError | None = None
        self.session = SimpleNamespace(running={})

    def call_there(self, name: str, args: Any, kwargs: Any, *, timeout: float) -> NoReturn:
        raise UnsupportedError(f"{name} cannot be called back: this caller came by a protocol that goes one way only.")


class HostService:
    """contracts.protocol.Service for one host."""

    def __init__(self, host: Host, keys: Mapping[str, bytes]) -> None:
        self.name = host.name
        self.dispatcher = host.dispatcher
        self.keys = keys
        self._host = host
        asker = host.asker(self)
        self.ask, self.tell, self.open = asker.ask, asker.tell, asker.open

    def find(self, name: str) -> Exposed:
        """See contracts.protocol.Service."""
        while not self.dispatcher.knows(name) and time.monotonic() < self._host.executor.set_up_at:
            time.sleep(LOOK_AGAIN)
        return self.dispatcher.find(name)

    def call(self, request: Request[Any], *, wire: Wire, caller: Identity) -> Any:
        """See contracts.protocol.Service."""
        exposed = self.find(request.name)
        args, kwargs = exposed.arguments(wire, request)
        visit: Any = Visitor(caller), request
        before = calling_now.set(visit)
        self._host.executor.active.add(id(request))
        try:
            result = exposed.function(*args, **kwargs)
            if hasattr(result, "__await__"):
                result = self._awaited(result, visit, request)
            if hasattr(result, "__anext__"):
                result = self._host.driven(result)
            return result
        except (SystemExit, KeyboardInterrupt) as error:
            raise survivable(error) from None
        finally:
            self._host.executor.active.discard(id(request))
            calling_now.reset(before)

    def _awaited(self, awaitable: Any, visit: Any, request: Request[Any]) -> Any:
        settled = threading.Event()
        outcome: list[Any] = [None, None]

        def then(result: Any, error: BaseException | None) -> None:
            outcome[:] = result, error
            settled.set()

        cancel: Callable[[], None] = self._host.run_async(awaitable, visit, then)
        if not settled.wait(request.timeout):
            cancel()
            raise CallTimeoutError(f"{request.name} was not done within {request.timeout:g} s.", operation=request.name)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]
