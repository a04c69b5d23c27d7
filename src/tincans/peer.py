"""The connecting program's face: `connect("alice")` gives a Peer, `peer.call.add(2, 5)` calls.

Rules of this file
- Sync; `tincans.aio` has the same names and signatures with `await` (a test compares them).
- A Peer may be used by many threads at once. It outlives lost connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from tincans.contracts import Note, Policy
from tincans.core.patience import patience
from tincans.errors import AddressError
from tincans.facts import VERBS, Facts, refused
from tincans.finder import method_of
from tincans.pump.calling import Reading
from tincans.pump.way import Way, way_of
from tincans.verbs import Flag, Lock, Messages, Queue, State, Words

if TYPE_CHECKING:
    from tincans.tickets import Ticket

CALL_TIMEOUT = 30.0
CONNECT_TIMEOUT = 5.0
C = TypeVar("C")


class Caller:
    """`peer.call`: an attribute is a function of the other program; calling it with a name works too."""

    def __init__(
        self, how: Callable[..., Any], timeout: float | None, make: Callable[..., Callable[..., Any]] | None = None
    ) -> None:
        self._how = how
        self._timeout = timeout
        self._make = make

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        how, timeout = self._how, self._timeout

        def common(*args: Any, **kwargs: Any) -> Any:
            return how(name, args, kwargs, timeout=timeout)

        function = common if self._make is None else self._make(name, timeout)

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

    def __init__(self, way: Way, words: Words, timeout: float | None) -> None:
        self._way = way
        self._words = words
        self._timeout = timeout
        self.call = cast(C, Caller(way.call, timeout, getattr(way, "function", None)))
        """Call and wait: `peer.call.add(2, 5)` or `peer.call("add", 2, 5)`."""
        self.start: Any = Caller(way.start, timeout, getattr(way, "starter", None))
        """Call and get a Future at once: `peer.start.add(2, 5).result()`."""
        self.notify: Any = Caller(way.notify, timeout)
        """Call without an answer: `peer.notify.log("hello")`."""

    @property
    def url(self) -> str:
        """The address, with masked secrets."""
        return self._way.url

    def with_options(
        self, *, timeout: float | Literal["same"] | None = "same", idempotent: bool = False, wait: bool = True
    ) -> Peer[C]:
        """The same peer with another `timeout` (seconds, None: no bound), or whose calls may be repeated safely.

        `peer.with_options(timeout=1).call.add(2, 5)`. With `wait=False` a call is left for the other program,
        which need not run now, and gives a `Ticket` to ask for the answer with; where the method keeps calls.
        """
        bound = self._timeout if timeout == "same" else patience(timeout)
        other: Peer[C] = Peer(self._way, self._words, bound)
        if not wait:
            other.call = cast(C, Caller(self._leave, other._timeout))
        elif idempotent:
            other.call = cast(C, Caller(self._way.call_again, other._timeout))
        return other

    def _leave(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> Ticket:
        id = self._words.answers().leave(self._way.written(name, args, kwargs), timeout=timeout)
        return self.ticket(id, name)

    def ticket(self, id: str, name: str = "") -> Ticket:
        """The ticket of a call that was left earlier, by any program. `name`: the function's, for its type."""
        from tincans.tickets import Ticket

        return Ticket(
            id,
            lambda id, timeout: self._words.answers().collect(id, timeout=timeout),
            lambda parts: self._way.answer_in(parts, name),
        )

    def expose(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Let the other program call a function of this one (as `caller().call`)."""
        if function is None:
            return lambda f: self.expose(f, **options)
        self._way.expose(function, **options)
        return function

    def describe(self) -> dict[str, Any]:
        """The other program's functions with types and docs, as plain data."""
        return self._way.describe(timeout=self._timeout)

    def publish(self, topic: str, value: Any) -> None:
        """Tell everybody who listens to `topic` now."""
        self._words.publish(topic, value)

    def subscribe(self, pattern: str, *, limit: int = 10_000, on_full: Policy = "drop_oldest") -> Messages:
        """Listen: `for note in peer.subscribe("news.*"): ...`. At most `limit` wait for us; see `Messages`."""
        return self._words.subscribe(pattern, limit=limit, on_full=on_full)

    def on(self, pattern: str) -> Callable[[Callable[[Note], Any]], Callable[[Note], Any]]:
        """A decorator: run the function for each note of a topic, on a thread of its own."""

        def follow(function: Callable[[Note], Any]) -> Callable[[Note], Any]:
            self._words.follow(pattern, function)
            return function

        return follow

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

    def share(self, array: Any, *, writable: bool = False) -> Any:
        """The same array, buffer or Arrow table in memory that can be passed on without a copy, where the method can.

        Read-only; with `writable=True` all who get it may write to it, and see what the others write. See `empty`.
        """
        from tincans.sharing import share

        self._words.need("share")
        if writable:
            self._words.need_one_memory()
        return share(array, writable=writable)

    def close(self) -> None:
        """End the connection; anyone waiting gets ClosedError. May be called twice."""
        self._words.end_followers()
        self._way.close()
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
        raise refused(no, verb, url)


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
    method = method_of(url)
    call_timeout = patience(call_timeout)
    check_needs(needs, method.facts, str(method.address))
    types: Mapping[str, Any] = {}
    if contract is not None:
        from tincans.core.interface import contract as read_contract  # reads signatures; most do without

        types = read_contract(contract)
    way = way_of(method, Reading(types, {cls.__name__: cls for cls in errors}))
    words = Words(lambda: way.board(CONNECT_TIMEOUT), method.facts, way.url, call_timeout)
    try:
        way.reach(patience(timeout))
    except BaseException:
        way.close()
        raise
    return Peer(way, words, call_timeout)
