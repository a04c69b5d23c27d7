"""The connecting program's face: `connect("alice")` gives a Peer, `peer.call.add(2, 5)` calls.

Rules of this file
- Sync; `tincans.aio` has the same names and signatures with `await` (a test compares them).
- A Peer may be used by many threads at once. It outlives lost connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast, overload

from tincans.contracts import Note, Policy
from tincans.errors import AddressError, UnsupportedError
from tincans.facts import VERBS, Facts
from tincans.finder import facts_of, resolve
from tincans.pump.calling import Reading
from tincans.pump.channel import Channel
from tincans.verbs import Flag, Follower, Lock, Messages, Queue, State, Words

CALL_TIMEOUT = 30.0
CONNECT_TIMEOUT = 5.0
C = TypeVar("C")


class Caller:
    """`peer.call`: an attribute is a function of the other program; calling it with a name works too."""

    def __init__(self, how: Callable[..., Any], timeout: float | None) -> None:
        self._how = how
        self._timeout = timeout

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        how, timeout = self._how, self._timeout

        def function(*args: Any, **kwargs: Any) -> Any:
            return how(name, args, kwargs, timeout=timeout)

        function.__name__ = function.__qualname__ = name
        self.__dict__[name] = function
        return function

    def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._how(name, args, kwargs, timeout=self._timeout)


class Peer(Generic[C]):
    """The other program, as this one sees it.

    Use it as a context manager, or `close()` it. Everything waits at most its timeout and fails at once with
    DisconnectedError when the other program dies.
    """

    def __init__(self, channel: Channel, words: Words, timeout: float | None) -> None:
        self._channel = channel
        self._words = words
        self._timeout = timeout
        self.call = cast(C, Caller(channel.call, timeout))
        """Call and wait: `peer.call.add(2, 5)` or `peer.call("add", 2, 5)`."""
        self.start: Any = Caller(channel.start, timeout)
        """Call and get a Future at once: `peer.start.add(2, 5).result()`."""
        self.notify: Any = Caller(channel.notify, timeout)
        """Call without an answer: `peer.notify.log("hello")`."""

    @property
    def url(self) -> str:
        """The address, with masked secrets."""
        return self._channel.url

    def with_options(self, *, timeout: float | None = CALL_TIMEOUT, idempotent: bool = False) -> Peer[C]:
        """The same peer with another `timeout` (seconds, None: no bound), or whose calls may be repeated safely.

        `peer.with_options(timeout=1).call.add(2, 5)`
        """
        other: Peer[C] = Peer(self._channel, self._words, timeout)
        if idempotent:
            other.call = cast(C, Caller(self._channel.call_again, timeout))
        return other

    def expose(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Let the other program call a function of this one (as `caller().call`)."""
        if function is None:
            return lambda f: self.expose(f, **options)
        self._channel.dispatcher.expose(function, **options)
        self._channel.link(CONNECT_TIMEOUT).attend()
        return function

    def describe(self) -> dict[str, Any]:
        """The other program's functions with types and docs, as plain data."""
        description: dict[str, Any] = self._channel.call("$describe", (), {}, timeout=self._timeout)
        return description

    def publish(self, topic: str, value: Any) -> None:
        """Tell everybody who listens to `topic` now."""
        self._words.publish(topic, value)

    def subscribe(self, pattern: str, *, limit: int = 10_000, on_full: Policy = "drop_oldest") -> Messages:
        """Listen: `for note in peer.subscribe("news.*"): ...`. At most `limit` wait for us; see `Messages`."""
        return self._words.subscribe(pattern, limit=limit, on_full=on_full)

    def on(self, pattern: str) -> Callable[[Callable[[Note], Any]], Callable[[Note], Any]]:
        """A decorator: run the function for each note of a topic, on a thread of its own."""

        def follow(function: Callable[[Note], Any]) -> Callable[[Note], Any]:
            self._followers.append(self._words.follow(pattern, function))
            return function

        return follow

    @property
    def _followers(self) -> list[Follower]:
        followers: list[Follower] = self._channel.__dict__.setdefault("followers", [])
        return followers

    def queue(
        self,
        name: str,
        *,
        max_items: int | None = None,
        on_full: Policy = "wait",
        lease: float = 30.0,
        max_deliveries: int = 5,
        renew: bool = True,
    ) -> Queue:
        """A queue of jobs: `q.put(x)`, `with q.take() as job:`. `lease` in seconds; see `Queue`."""
        return self._words.queue(
            name, max_items=max_items, on_full=on_full, lease=lease, max_deliveries=max_deliveries, renew=renew
        )

    @property
    def state(self) -> State:
        """Named values: `peer.state["k"] = v`, `peer.state.watch("k")`."""
        return self._words.state

    def flag(self, name: str) -> Flag:
        """A shared boolean in the shape of threading.Event."""
        return self._words.flag(name)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        """A lock among all programs: `with peer.lock("update", timeout=5): ...`."""
        return self._words.lock(name, timeout=timeout)

    def share(self, array: Any) -> Any:
        """The same array in memory that can be passed on without a copy, where the method can; read-only."""
        from tincans.sharing import share

        return share(array)

    def close(self) -> None:
        """End the connection; anyone waiting gets ClosedError. May be called twice."""
        for follower in self._followers:
            follower.close()
        self._channel.close()
        self._words.close()

    def __enter__(self) -> Peer[C]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Peer {self.url}>"


def check_needs(needs: Iterable[str], facts: Facts, url: str) -> None:
    """AddressError for words that are no verbs, UnsupportedError for a verb that does not work here."""
    wanted = frozenset(needs)
    unknown = wanted - set(VERBS)
    if unknown:
        raise AddressError(f"needs= has {sorted(unknown)}, which are no verbs; there are {', '.join(VERBS)}.")
    for verb, no in facts.missing(wanted).items():
        raise UnsupportedError(
            f"{url} has no {verb}: {no.reason}. A method that has it: {no.instead}.", url=url, operation=verb
        )


@overload
def connect(
    url: str,
    contract: None = None,
    *,
    timeout: float = ...,
    call_timeout: float | None = ...,
    needs: Iterable[str] = ...,
    errors: Iterable[type[BaseException]] = ...,
) -> Peer[Any]: ...
@overload
def connect(
    url: str,
    contract: type[C],
    *,
    timeout: float = ...,
    call_timeout: float | None = ...,
    needs: Iterable[str] = ...,
    errors: Iterable[type[BaseException]] = ...,
) -> Peer[C]: ...


def connect(
    url: str,
    contract: type[Any] | None = None,
    *,
    timeout: float = CONNECT_TIMEOUT,
    call_timeout: float | None = CALL_TIMEOUT,
    needs: Iterable[str] = (),
    errors: Iterable[type[BaseException]] = (),
) -> Peer[Any]:
    """Connect to a program that serves `url`, waiting up to `timeout` seconds for it to come.

    `contract` is a class or Protocol with annotated methods: results come back as those types and `peer.call`
    completes in an editor. `needs` names verbs that must work here (UnsupportedError otherwise). `errors` are exception
    classes that the other program may raise and this one wants to catch as themselves.

    UnreachableError when nobody serves it, AddressError for a URL that makes no sense, DeniedError when we may not.
    """
    address, transport, wire = resolve(url)
    facts = facts_of(transport, wire)
    check_needs(needs, facts, str(address))
    types: Mapping[str, Any] = {}
    if contract is not None:
        from tincans.core.interface import contract as read_contract  # reads signatures; most do without

        types = read_contract(contract)
    reading = Reading(types, {cls.__name__: cls for cls in errors})
    address.settings(transport.options)
    channel = Channel(address, transport, wire, reading)
    words = Words(lambda: channel.board(CONNECT_TIMEOUT), facts, str(address), call_timeout)
    channel.link(timeout)
    return Peer(channel, words, call_timeout)
