"""`pub`, `sub`, `put`, `take`, `get`, `set`, `watch`: topics, queues and state from a shell.

Rules of this file
- A job is acknowledged after it was printed: when the reader of our stdout is gone, it goes back to its queue.
- `--count` ends an endless command well; `--timeout` ends it with the exit code for "no answer in time".
- What was missed is said on stderr, for it is no data.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count as numbers

import rich_click as click

from tincans.cli.connecting import json_option, name_argument, peer, timeout_option
from tincans.cli.exits import Exit
from tincans.cli.output import say, show, text_of
from tincans.cli.words import value_of, values_of
from tincans.errors import WaitTimeoutError

count_option = click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N.")


@click.command()
@name_argument
@click.argument("topic")
@click.argument("words", nargs=-1, required=True, metavar="VALUE...")
@timeout_option("Seconds to wait for the service and for room.")
def pub(name: str, topic: str, words: tuple[str, ...], timeout: float | None) -> None:
    """Publish each VALUE under TOPIC to whoever listens now. The word - stands for the lines of stdin.

    \b
    Examples
      tincans pub alice weather.rain '{"mm": 3}'
      tail -f log | tincans pub alice log -
    """
    with peer(name, timeout=timeout) as other:
        for value in values_of(words):
            other.publish(topic, value)


@click.command()
@name_argument
@click.argument("pattern")
@json_option
@click.option("--topics", is_flag=True, help="Print the topic before each value, with a tab between.")
@count_option
@timeout_option("Seconds to wait for the service, and for each value.")
def sub(name: str, pattern: str, as_json: bool, topics: bool, count: int | None, timeout: float | None) -> None:
    """Print what is published under PATTERN, a line each, until Ctrl-C.

    In PATTERN `*` is one word between dots and a final `>` all the rest.

    \b
    Examples
      tincans sub alice 'weather.*' --topics
      tincans sub alice news --count 1 --timeout 10
    """
    with peer(name, timeout=timeout) as other, other.subscribe(pattern) as notes:
        for _ in _times(count):
            note = notes.receive(timeout=timeout)
            say_missed(note.missed)
            if as_json:
                show({"topic": note.topic, "value": note.value, "missed": note.missed}, as_json=True)
            else:
                show(f"{note.topic}\t{text_of(note.value)}" if topics else note.value)


@click.command()
@name_argument
@click.argument("queue")
@click.argument("words", nargs=-1, required=True, metavar="VALUE...")
@timeout_option("Seconds to wait for the service and for room.")
def put(name: str, queue: str, words: tuple[str, ...], timeout: float | None) -> None:
    """Put each VALUE into QUEUE as a job for one taker. The word - stands for the lines of stdin.

    \b
    Examples
      tincans put alice jobs '{"resize": "cat.png"}'
      ls *.png | tincans put alice jobs -
    """
    with peer(name, timeout=timeout) as other:
        jobs = other.queue(queue)
        for value in values_of(words):
            jobs.put(value)


@click.command()
@name_argument
@click.argument("queue")
@json_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Take N jobs.")
@click.option(
    "--all", "everything", is_flag=True, help="Take jobs until Ctrl-C, or until --timeout passes without one."
)
@timeout_option("Seconds to wait for the service, and for each job. 0: only what is there.")
def take(name: str, queue: str, as_json: bool, count: int, everything: bool, timeout: float | None) -> None:
    """Take a job from QUEUE, print it, and acknowledge it.

    \b
    Examples
      tincans take alice jobs
      tincans take alice jobs --all --timeout 0 > jobs.txt
    """
    with peer(name, timeout=timeout) as other:
        jobs = other.queue(queue)
        for taken in _times(None if everything else count):
            try:
                with jobs.take(timeout=timeout) as job:
                    show({"value": job.value, "deliveries": job.deliveries} if as_json else job.value, as_json=as_json)
            except WaitTimeoutError:
                if everything and taken:
                    return
                raise


@click.command()
@name_argument
@click.argument("key")
@json_option
@timeout_option("Seconds to wait for the service and for its answer.")
def get(name: str, key: str, as_json: bool, timeout: float | None) -> int:
    """Print the value of KEY. Exit code 1 when it has none.

    \b
    Examples
      tincans get alice temperature
    """
    with peer(name, timeout=timeout) as other:
        try:
            value = other.state[key]
        except KeyError:
            say(f"tincans: {name} has no value for the key {key!r}. Give it one with: tincans set {name} {key} VALUE")
            return Exit.FAILED
    show(value, as_json=as_json)
    return Exit.OK


@click.command(name="set")
@name_argument
@click.argument("key")
@click.argument("word", metavar="VALUE")
@timeout_option("Seconds to wait for the service and for its answer.")
def set_(name: str, key: str, word: str, timeout: float | None) -> None:
    """Give KEY a value that everyone can get and watch.

    \b
    Examples
      tincans set alice temperature 21.5
      tincans set alice motto '"5"'
    """
    with peer(name, timeout=timeout) as other:
        other.state[key] = value_of(word)


@click.command()
@name_argument
@click.argument("key")
@json_option
@count_option
@timeout_option("Seconds to wait for the service, and for each change.")
def watch(name: str, key: str, as_json: bool, count: int | None, timeout: float | None) -> None:
    """Print the value of KEY, and again whenever it changes, until Ctrl-C.

    \b
    Examples
      tincans watch alice temperature
      tincans watch alice temperature --json --count 1
    """
    with peer(name, timeout=timeout) as other, other.state.watch(key) as changes:
        for _ in _times(count):
            change = changes.receive(timeout=timeout)
            if as_json:
                show({"value": change.value, "version": change.version, "deleted": change.deleted}, as_json=True)
            elif change.deleted:
                say(f"tincans: {key!r} was deleted")
            else:
                show(change.value)


def _times(count: int | None) -> Iterable[int]:
    """0, 1, 2, ... up to `count` rounds, or without end."""
    return numbers() if count is None else range(count)


def say_missed(missed: int | None) -> None:
    """Say on stderr how many were lost just before; None: nobody knows how many."""
    if missed != 0:
        say(f"tincans: {'some' if missed is None else missed} missed before this one")
