"""How an array lies in memory that is passed on, and what is rebuilt from a lie about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from msgspec import ValidationError

import tincans
from tincans.core.arrays import array_over
from tincans.core.messages import Reply
from tincans.toolkit.array_places import array_place
from tincans.toolkit.live_memory import LIVE, segment_of
from tincans.toolkit.memory_pool import POOL
from tincans.wires.native import WIRE


class Sharing:
    """contracts.References of a link that passes memory on."""

    shares_memory = True
    place = staticmethod(array_place)


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    POOL.clear()
    yield
    POOL.clear()


def trip(value: Any) -> Any:
    """Through the wire, its parts as they are."""
    message: Any = WIRE.decode(WIRE.encode(Reply(1, value), Sharing()))  # type: ignore[arg-type]
    return WIRE.reader(Any)(message.value, message)


def test_an_array_with_gaps_in_shared_memory_keeps_its_place_and_strides() -> None:
    whole = tincans.empty((1000, 1000))
    whole[...] = np.arange(1_000_000).reshape(1000, 1000)
    for part in (whole[:, ::3], whole[5:, 5:], whole[::-1, ::-2], whole.T[::2], whole[:, None, ::2]):
        came = trip(part)
        assert came.strides == part.strides
        assert (came == part).all()
        assert came.__array_interface__["data"][0] == part.__array_interface__["data"][0]


def test_an_array_with_gaps_elsewhere_is_copied_straight_into_shared_memory() -> None:
    part = np.arange(1_000_000).reshape(1000, 1000)[:, ::2]
    came = trip(part)
    assert (came == part).all() and segment_of(came) is not None
    assert len(POOL._segments) == 1


def test_a_small_array_with_gaps_is_sent_without_them() -> None:
    whole = tincans.empty((100, 1000))
    whole[...] = 1
    parts = WIRE.encode(Reply(1, whole[:, ::100]), Sharing())  # type: ignore[arg-type]
    assert sum(memoryview(part).nbytes for part in parts) < 10_000


def test_where_memory_is_not_passed_gaps_are_never_sent() -> None:
    whole = tincans.empty((1000, 1000))
    parts = WIRE.encode(Reply(1, whole[:, ::2]))
    assert memoryview(parts[1]).nbytes == whole[:, ::2].nbytes


HOSTILE: dict[str, tuple[list[Any], list[int]]] = {
    "beyond the end": ([100], [8, 8]),
    "before the beginning": ([100], [0, -8]),
    "negative offset": ([100], [-8, 8]),
    "huge stride": ([2], [0, 2**61]),
    "huge offset": ([1], [2**61, 8]),
    "repeated without end": ([10**6, 10**6], [0, 0, 0]),
    "repeated a little": ([101], [0, 0]),
    "too few strides": ([10, 10], [0, 80]),
    "no numbers": ([100], [0, True]),
    "nothing": ([100], []),
}


@pytest.mark.parametrize(("shape", "order"), HOSTILE.values(), ids=HOSTILE)
def test_impossible_strides_are_refused(shape: list[Any], order: list[Any]) -> None:
    with pytest.raises((ValidationError, ValueError, TypeError)):
        array_over(bytes(800), "<i8", shape, order)


def test_memory_is_found_as_long_as_it_lives_and_no_longer() -> None:
    array = tincans.empty(1000)
    place = array.__array_interface__["data"][0]
    part = array[10:20]
    del array
    assert LIVE.find(place, 80) is not None
    del part
    assert LIVE.find(place, 80) is None


def test_empty_is_an_array_like_any_other() -> None:
    array = tincans.empty((3, 4, 5), [("x", "f4"), ("name", "S3")])
    array["x"] = 2
    assert array.shape == (3, 4, 5) and array["x"].sum() == 120 and array.flags.writeable
    assert tincans.empty(7).dtype == np.float64
    assert tincans.empty(()).shape == ()
    assert tincans.empty((0, 3)).shape == (0, 3)


@pytest.mark.parametrize("shape", [-1, (2, -3), "ab", 1.5, None])
def test_an_impossible_shape_is_refused_in_numpys_words(shape: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        tincans.empty(shape)


def test_python_objects_are_refused() -> None:
    with pytest.raises(tincans.UnsendableError, match="objects"):
        tincans.empty(3, object)


def test_more_than_the_pool_is_refused() -> None:
    with pytest.raises(tincans.FullError, match=r"\?pool="):
        tincans.empty(POOL.limit + 1, "u1")


def test_shared_memory_is_used_again_when_the_last_array_over_it_is_gone() -> None:
    array = tincans.empty(1_000_000)
    first, part = segment_of(array), array[5:]
    del array
    assert segment_of(tincans.empty(1_000_000)) != first
    del part
    places = {segment_of(each) for each in [tincans.empty(1_000_000) for _ in range(2)]}
    assert len(places) == 2 and len(POOL._segments) == 2


def test_a_forked_child_that_still_has_an_array_is_a_holder_like_any_other() -> None:
    array = tincans.empty(1_000_000)
    array[:] = 1
    going, may_go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(may_go)
        os.read(going, 1)
        os._exit(int(array.sum() != 1_000_000))
    os.close(going)
    first = segment_of(array)
    del array
    other = tincans.empty(1_000_000)
    other[:] = 2
    assert segment_of(other) != first
    os.close(may_go)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    del other
    assert POOL.in_use() == 0


@pytest.mark.parametrize("dtype", ["M8[s]", "S5", "U3", "c16", [("a", "f4"), ("t", "m8[ms]")]])
def test_arrays_of_every_type_that_travels_can_be_shared(dtype: Any) -> None:
    array = np.zeros((300, 1000), dtype)[:, ::2]
    with tincans.serve("memory:share") as alice:
        shared = alice.share(array)
        assert alice.share(shared).base is not None and not shared.flags.writeable
    assert (shared == array).all()
    assert (trip(shared) == array).all()
