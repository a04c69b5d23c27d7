"""Every limit: how much, and what changes it. The figures are the constants and defaults of the code itself.

Rules of this file
- A row names the thing in words, gets its figure from where it is decided, and says which option changes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import tincans
from tables.methods import docstring_part, ordered
from tincans import peer, server
from tincans.core import deframing, handshake, session, streams, values
from tincans.core.failures import MAX_TRACEBACK
from tincans.core.hub.arguments import LONGEST_NAME, LONGEST_TIME
from tincans.core.hub.hub import Limits
from tincans.core.json_rpc import MOST_IN_A_BATCH
from tincans.protocols.http import engine, running, visit, xml_rpc
from tincans.pump import dialing, heartbeat, host, reactor, references, repeats, sending
from tincans.toolkit import descriptor_passing, tcp_socket
from tincans.toolkit.mp_proof import PROOF_SECONDS
from tincans.toolkit.sqlite import answers, box, topics

Row = tuple[str, str, str]


def table() -> str:
    """All rows, by what they bound."""
    lines = []
    for heading, rows in (
        ("Waiting", waiting),
        ("Memory and sizes", sizes),
        ("In the serving program", hub),
        ("`sqlite:`", sqlite),
        ("`http:` and what is spoken over it", http),
    ):
        lines += [f"### {heading}", "", "| what | how much | changed by |", "|---|---|---|"]
        lines += [f"| {what} | {much} | {by} |" for what, much, by in rows()]
        lines.append("")
    return "\n".join(lines[:-1])


def default(function: Callable[..., Any], parameter: str) -> Any:
    """What a parameter is when nobody gives it."""
    return inspect.signature(function).parameters[parameter].default


def waiting() -> Iterator[Row]:
    """Seconds."""
    call, connect = default(tincans.connect, "call_timeout"), default(tincans.connect, "timeout")
    yield (
        "a call, or another question to a peer",
        seconds(call),
        "`connect(call_timeout=)`, `with_options(timeout=)`",
    )
    yield "`connect`, until somebody serves", seconds(connect), "`connect(timeout=)`"
    yield "`take`, `receive`, `watch`, a lock", "as long as the other end lives", "their `timeout`"
    yield "a greeting, with its key", seconds(handshake.GREETING_TIMEOUT), ""
    yield "the proof of `mp:`", seconds(PROOF_SECONDS), ""
    yield "between two attempts to connect again", f"{dialing.FIRST_BACKOFF:g} to {dialing.LAST_BACKOFF:g} s", ""
    yield "a silent server, while something is awaited", f"asked after {seconds(heartbeat.INTERVAL)}", ""
    yield "a machine that is gone, over `tcp:`", seconds(tcp_socket._GONE_AFTER), ""
    yield "a peer that takes nothing of what we send", seconds(sending.CLOGGED_AFTER), ""
    yield "calls that run when the server ends", seconds(default(server.Server.close, "drain")), "`close(drain=)`"
    yield "a lease, renewed while the block runs", seconds(default(peer.Peer.queue, "lease")), "`queue(lease=, renew=)`"
    yield "a lease or a delay at most", f"{LONGEST_TIME / 86400:g} days", ""


def sizes() -> Iterator[Row]:
    """Bytes and counts of messages."""
    yield "a message", "see each method", "`?max_message=`"
    yield "a buffer that goes beside the message", f"from {size(descriptor_passing.PASS_FROM)}", "`?descriptors=no`"
    yield "shared memory of one program", "a quarter of the machine's", "`?pool=`"
    yield "buffers in one message", f"{deframing.MAX_FURTHER_PARTS:,}", ""
    yield "levels of lists and dicts in a value", f"{values.DEEPEST:,}", ""
    yield "the message of a stranger, until it has greeted", size(handshake.GREETING_LIMIT), ""
    yield "the traceback of an error", f"{MAX_TRACEBACK:,} characters", ""
    yield "a JSON-RPC batch", f"{MOST_IN_A_BATCH:,} calls", ""
    yield "calls and streams open on one connection", f"{session.MAX_OPEN:,}", ""
    yield "functions passed as arguments, on one connection", f"{references.MAX_FUNCTIONS:,}", ""
    yield "items of a stream on their way", f"{streams.WINDOW:,}; then the generator waits", ""


def hub() -> Iterator[Row]:
    """What the hub and the threads of a serving program hold."""
    limits, subscribe, queue = Limits(), peer.Peer.subscribe, peer.Peer.queue
    yield "functions that run at the same time", f"{reactor.MAX_WORKERS:,}; further calls wait", ""
    yield "strangers that have not greeted", f"{host.MAX_STRANGERS:,}", ""
    yield (
        "news that wait for one subscriber",
        f"{default(subscribe, 'limit'):,}, then `{default(subscribe, 'on_full')}`, counted",
        "`subscribe(limit=, on_full=)`",
    )
    yield (
        "jobs in one queue",
        f"{limits.jobs:,}, then `{default(queue, 'on_full')}`",
        "`queue(max_items=, on_full=)` for less",
    )
    yield (
        "deliveries of a job, then it is dead",
        f"{default(queue, 'max_deliveries'):,}",
        "`queue(max_deliveries=)`",
    )
    yield "queues", f"{limits.queues:,}", ""
    yield "keys of the state", f"{limits.keys:,}", ""
    yield "waits, leases and locks", f"{limits.claims:,}, of one client {limits.claims_of_one:,}", ""
    yield "the name of a topic, queue, key or lock", f"{LONGEST_NAME:,} characters", ""
    yield (
        "answers kept for idempotent calls",
        f"{repeats.MOST_ANSWERS:,}, for {seconds(repeats.SECONDS)}",
        "",
    )


def sqlite() -> Iterator[Row]:
    """What one file keeps."""
    yield "notes of a topic", f"{topics.MOST_NOTES:,}, for {topics.OLDEST_NOTE / 3600:g} hours", ""
    yield "answers that nobody fetched", f"{answers.MOST_ANSWERS:,}, for {answers.OLDEST_ANSWER / 86400:g} days", ""
    yield "calls that were left and are not answered", f"{answers.MOST_OPEN:,}", ""
    yield "letters that wait in one box", f"{box.MOST_WAITING:,}; then sending waits", ""


def http() -> Iterator[Row]:
    """What the HTTP server lets in."""
    yield "the head of a request", f"{size(engine.MOST_HEAD)}, {engine.MOST_HEADERS:,} lines", ""
    yield "a body", "see `http:`", "`?max_message=`, `asgi(max_message=)`"
    yield "a client that sends or takes nothing", seconds(visit.Settings().client_timeout), "`?client_timeout=`"
    yield "the pace of a body", f"{size(visit.MIN_RATE)} a second", ""
    yield "connections", f"{engine.MOST_CONNECTIONS:,}", ""
    yield "an idle connection", seconds(engine.KEEP_ALIVE), ""
    yield "functions that run at the same time", f"{running.FUNCTIONS_AT_ONCE:,}, then 503", ""
    yield "streams and waits", f"{running.WAITS_AT_ONCE:,}, then 503", ""
    yield "levels and values of XML-RPC", f"{xml_rpc.MOST_DEPTH:,} and {xml_rpc.MOST_VALUES:,}", ""


def seconds(number: float) -> str:
    """Seconds, as people write them."""
    return f"{number:g} s"


def size(count: int) -> str:
    """Bytes, as people write them."""
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def by_method() -> str:
    """What each method says of its limits."""
    lines = ["| method | limits |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}:` | {docstring_part(name, 'Limits')} |" for name, _ in ordered())])
