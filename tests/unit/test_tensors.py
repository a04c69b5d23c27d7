"""Tensors of other libraries, by DLPack: array-api-strict (numpy's own implementation below it), tvm-ffi (its own).

torch is too large to be a test's requirement; a stand-in shows what becomes of a torch tensor here.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tincans
from tincans.core.messages import Reply
from tincans.errors import MissingLibraryError, UnsendableError
from tincans.toolkit.live_memory import segment_of
from tincans.toolkit.sealed_memory import attach, frozen_copy
from tincans.wires.native import WIRE


def parts_of(value: Any) -> list[Any]:
    return WIRE.encode(Reply(1, value))


def rebuilt(parts: list[Any]) -> Any:
    message: Any = WIRE.decode(parts)
    return WIRE.reader(Any)(message.value, message)


def tensors(array: Any) -> list[Any]:
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    ffi = pytest.importorskip("tvm_ffi", reason="pip install apache-tvm-ffi")
    return [strict.asarray(array, copy=False), ffi.from_dlpack(array)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_tensor_arrives_as_an_array(which: int) -> None:
    array = np.arange(12.0).reshape(3, 4)
    came = rebuilt(parts_of({"t": tensors(array)[which]}))
    assert (came["t"] == array).all()


@pytest.mark.parametrize("which", [0, 1])
def test_the_memory_of_a_tensor_is_not_copied(which: int) -> None:
    array = tincans.empty(1_000_000)
    array[:] = 1
    tensor = tensors(array)[which]
    assert segment_of(parts_of(tensor)[1]) == segment_of(array)


class OnDevice:
    """A tensor on a graphics card."""

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("it must not come to this")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


class Strange(OnDevice):
    """A tensor that numpy cannot look at."""

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("bfloat16 is not for numpy")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_a_tensor_on_another_device_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnsendableError, match=r"\['t'\].*another device.*cpu\(\)"):
        parts_of({"t": OnDevice()})


def test_a_tensor_that_numpy_does_not_know_is_refused_with_its_reason() -> None:
    with pytest.raises(UnsendableError, match="bfloat16 is not for numpy"):
        parts_of(Strange())


class Tensor:
    """Stands in for torch.Tensor: an array that must be allowed to write."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


Tensor.__module__ = "torch"


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch")
    module.from_numpy = Tensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)


@pytest.mark.usefixtures("torch")
def test_a_torch_tensor_arrives_as_one_that_may_be_written_to_by_this_program_alone() -> None:
    parts = parts_of(Tensor(np.arange(100_000)))
    content = bytes(parts[1])
    parts[1] = attach(frozen_copy(content), offset=0, length=len(content), frozen=True)
    first, second = rebuilt(parts), rebuilt(parts)
    assert isinstance(first, Tensor)
    first.array[5] = -1
    assert (first.array[5], second.array[5]) == (-1, 5)
    assert bytes(parts[1]) == content


@pytest.mark.usefixtures("torch")
def test_a_small_torch_tensor_may_be_written_to_as_well() -> None:
    came = rebuilt(parts_of(Tensor(np.arange(5))))
    came.array[0] = 7
    assert came.array.tolist() == [7, 1, 2, 3, 4]


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(Tensor(np.arange(5)))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibraryError, match="pip install torch"):
        rebuilt(parts)
