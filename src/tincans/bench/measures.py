"""What is measured, and how one round of it goes for one contestant.

Rules of this file
- A measure is a function from a stage and the plan to figures by variant ("" for the only one, else a size, say). Each
  figure has a "value", in the measure's unit, and may have "min", "p99" and more beside it.
- The paragraph `about` is what the papers say of it; nothing is explained elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tincans.bench import boards, payloads
from tincans.bench.contestant import Ability, Contestant
from tincans.bench.plan import MESSAGE, Plan
from tincans.bench.stage import Stage

Figure = dict[str, float]
Figures = Mapping[str, Figure]
Round = Callable[[Stage, Plan], Figures]


@dataclass(frozen=True)
class Measure:
    """One table of the report."""

    key: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    ability: Ability
    about: str
    round: Round
    often: bool = True
    """Whether it is cheap enough for all rounds of the plan."""
    who: Callable[[Contestant], bool] = lambda contestant: True


def call(stage: Stage, plan: Plan) -> Figures:
    """Latency, and the processor time beside it."""
    bob = stage.bob
    bob.ask("times", seconds=plan.seconds / 5)  # warm-up
    before = stage.processor_time()
    told = bob.ask("times", seconds=plan.seconds)
    used = (stage.processor_time() - before) * 1e6 / (told["count"] + 21)  # 21: what Bob asks before he counts
    return {"": {"value": told["median"], "min": told["min"], "p99": told["p99"], "processor": used}}


def pipelined(stage: Stage, plan: Plan) -> Figures:
    """Rate with many calls under way."""
    return {"": _rate(stage, plan, plan.lap)}


def hundred(stage: Stage, plan: Plan) -> Figures:
    """The same, a hundred at a time."""
    return {"": _rate(stage, plan, 100)}


def _rate(stage: Stage, plan: Plan, lap: int) -> Figure:
    stage.bob.ask("pipeline", seconds=plan.seconds / 5, lap=lap)
    return {"value": stage.bob.ask("pipeline", seconds=plan.seconds, lap=lap)["rate"]}


def look(stage: Stage, plan: Plan) -> Figures:
    """A read of one value."""
    return {"": _as_figure(stage.bob.ask("look", seconds=plan.seconds))}


def turn(stage: Stage, plan: Plan) -> Figures:
    """Put, take and acknowledge, as items per second."""
    told = stage.bob.ask("turn", seconds=plan.seconds, size=MESSAGE)
    return {"": {"value": 1e6 / told["median"]}}


def _as_figure(told: Mapping[str, Any]) -> Figure:
    return {"value": told["median"], "min": told["min"], "p99": told["p99"]}


def clients(stage: Stage, plan: Plan) -> Figures:
    """Many clients from two programs."""
    bobs = stage.bobs(2)
    try:
        for bob in bobs:
            bob.tell("gather", clients=crowd_of(stage, plan) // 2)
        for bob in bobs:
            bob.answer()
        for bob in bobs:
            bob.tell("run", seconds=plan.crowd_seconds)
        rates = [each for bob in bobs for each in bob.answer()["rates"]]
    finally:
        for bob in bobs:
            bob.ask("scatter")
    total = sum(rates)
    return {"": {"value": total, "slowest": min(rates) * len(rates) / total if total else 0.0, "clients": len(rates)}}


def memory(stage: Stage, plan: Plan) -> Figures:
    """What a connected client that made one call costs the server."""
    bob = stage.bob
    bob.ask("gather", clients=2)
    bob.ask("scatter")
    before = stage.memory()
    count = crowd_of(stage, plan)
    bob.ask("gather", clients=count)
    after = stage.memory()
    bob.ask("scatter")
    return {"": {"value": (after - before) / count, "clients": count}}


def crowd_of(stage: Stage, plan: Plan) -> int:
    """How many clients at once: as the plan says, or as many as the method serves."""
    return min(plan.crowd, stage.contestant.most_clients or plan.crowd)


MEASURES = (
    Measure(
        "call",
        "A call of two ints",
        "µs",
        "lower",
        "call",
        "One client calls `add(2, 5)` in another program again and again, one call after the other, and each call is "
        "timed on its own. Ours check the arguments against the annotations and find the function by its name; the "
        "yardsticks only send bytes back. The figure is the median of the rounds' medians, p99 the median of their "
        "99th percentiles, min the fastest call of all. CPU is what both programs (and a broker) used meanwhile, "
        "divided by the calls.",
        call,
    ),
    Measure(
        "pipelined",
        "Pipelined calls",
        "calls/s",
        "higher",
        "pipeline",
        "One client has many calls of `add` under way and fetches all results: ours by `start` for a thousand at a "
        "time, each of the others by its own means for that (batches, futures, a window of 100 messages).",
        pipelined,
    ),
    Measure(
        "hundred",
        "Calls started a hundred at a time",
        "calls/s",
        "higher",
        "pipeline",
        "The same with a hundred `start` calls at a time.",
        hundred,
        who=lambda contestant: contestant.name in ("unix", "local"),
    ),
    Measure(
        "state",
        "Read a named value",
        "µs",
        "lower",
        "state",
        "One client reads the same small value again and again.",
        look,
    ),
    Measure(
        "turn",
        f"A queue, one client in turn, items of {MESSAGE} bytes",
        "items/s",
        "higher",
        "turn",
        "One client puts an item, takes it and acknowledges it, one after the other.",
        turn,
    ),
    Measure(
        "queue",
        f"A queue from one program to another, items of {MESSAGE} bytes",
        "items/s",
        "higher",
        "queue",
        "One program puts, another takes and, where there is such a thing, acknowledges each item; where a server "
        "keeps the queue both are its clients. The time is from the first put to the last acknowledgement.",
        boards.queue,
    ),
    Measure(
        "payload",
        "Payloads, one way with an acknowledgement",
        "µs",
        "lower",
        "payload",
        "The client hands over so many bytes, the other program looks at the last one and answers with their number. "
        "The bytes are there beforehand in the form that the library takes as it is (ours: a numpy array from 1 KiB "
        "on, plain, or already in shareable memory). A size that would take longer than a second is left out.",
        payloads.deliver,
        often=False,
    ),
    Measure(
        "gibibyte",
        "An array of 1 GiB as an argument",
        "µs",
        "lower",
        "payload",
        "The same with one array of 1 GiB over a bare name; it shows that this works at all.",
        payloads.gibibyte,
        often=False,
        who=lambda contestant: contestant.name == "local",
    ),
    Measure(
        "clients",
        "Many clients at once, from two programs",
        "calls/s",
        "higher",
        "crowd",
        "Half of the clients in each of two programs, each client with a connection of its own (and a thread, or a "
        "task for aio), all calling at the same time, with a hundred calls under way each where it can. They call for "
        "a while before they are counted, all in the same span of time, and the interpreter changes threads every "
        "millisecond, or chance would decide. `slowest` is what the slowest client got, relative to the mean. A method "
        "that serves fewer at once is measured with as many as it does.",
        clients,
        often=False,
    ),
    Measure(
        "memory",
        "Server memory per connected client",
        "KiB",
        "lower",
        "crowd",
        "How much the serving program grows (proportional set size) with so many more connected clients, divided by "
        "their number; each has made one call.",
        memory,
        often=False,
        who=lambda contestant: not contestant.service,
    ),
    Measure(
        "publish1",
        f"Publish messages of {MESSAGE} bytes to one subscriber",
        "messages/s",
        "higher",
        "publish",
        "The serving program publishes as fast as it can and a subscriber in another program receives; the time is "
        "from the first publish to the last receive. Nothing may be dropped: where a library drops for slow readers it "
        "is told not to, and what is lost all the same is said.",
        boards.publish_to_one,
    ),
    Measure(
        "publish4",
        f"Publish messages of {MESSAGE} bytes to four subscribers",
        "messages/s",
        "higher",
        "publish",
        "The same with four subscribers, each a program of its own; a message counts once, when all four have it.",
        boards.publish_to_four,
    ),
    Measure(
        "publish_array",
        "Publish one large array",
        "µs",
        "lower",
        "publish",
        "The serving program publishes one array to one and to four subscribers, plain or already in shareable memory. "
        "The figure is the time that `publish` takes, a median of each round: a shareable array 25 times in a row, a "
        "plain one 7 times, each when all have had the last copy. Beside it, the time until the last subscriber has "
        "it, divided by the times in a row.",
        payloads.publish_array,
        often=False,
        who=lambda contestant: contestant.name in ("local", "shm", "unix"),
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
