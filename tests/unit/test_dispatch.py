"""Functions are found by name only; modules and objects offer what is public."""

from __future__ import annotations

import functools
import math
import statistics
import types
from typing import Any

import pytest
from arguments import Account, Adder, add, defaults, variadic

from tincans.core.dispatch import Dispatcher
from tincans.errors import ArgumentError, NotExposedError


def test_an_exposed_function_is_found_by_its_name() -> None:
    dispatcher = Dispatcher()
    exposed = dispatcher.expose(add)
    assert dispatcher.find("add") is exposed
    assert exposed.function is add
    assert dispatcher.names() == ["add"]


def test_a_function_can_be_exposed_under_another_name() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add, name="plus")
    dispatcher.expose(lambda: None, name="nothing")
    assert dispatcher.names() == ["plus", "nothing"]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    dispatcher.expose(defaults)
    with pytest.raises(NotExposedError, match=r"No function 'ad' .*did you mean 'add'\? 2 functions are exposed"):
        dispatcher.find("ad")


def test_an_unknown_name_where_nothing_is_exposed_says_what_to_do() -> None:
    with pytest.raises(NotExposedError, match="0 functions are exposed: expose one with"):
        Dispatcher().find("add")


@pytest.mark.parametrize("name", ["add.__globals__", "__class__", "os.system", "", "add ", "_add", "$add", "x" * 10**6])
def test_only_exposed_names_are_found(name: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    with pytest.raises(NotExposedError) as caught:
        dispatcher.find(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["_private", "__init__", "$describe", "a.b", "", "with space", "1st", 5])
def test_a_name_that_could_not_be_called_is_refused(name: Any) -> None:
    dispatcher = Dispatcher()
    with pytest.raises(ArgumentError):
        dispatcher.expose(add, name=name)
    assert dispatcher.names() == []


def test_a_partial_has_the_name_of_its_function() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(functools.partial(functools.partial(add, 1), 2))
    assert dispatcher.names() == ["add"]


def test_a_function_without_a_name_must_be_given_one() -> None:
    for function in (lambda: None, Adder()):
        with pytest.raises(ArgumentError, match=r"expose\(function, name="):
            Dispatcher().expose(function)


def test_something_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(ArgumentError, match="expose_object"):
        Dispatcher().expose(statistics)  # type: ignore[arg-type]


def test_a_taken_name_is_refused() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    with pytest.raises(ArgumentError, match="taken by add"):
        dispatcher.expose(defaults, name="add")
    assert dispatcher.find("add").function is add


def test_the_same_definition_run_again_replaces_the_old_one() -> None:
    dispatcher = Dispatcher()
    source = "def greet(): return {}"
    for version in (1, 2):
        namespace: dict[str, Any] = {"__name__": "notebook"}
        exec(source.format(version), namespace)
        dispatcher.expose(namespace["greet"])
    assert dispatcher.find("greet").function() == 2


def test_a_reserved_name_is_found_but_not_shown() -> None:
    dispatcher = Dispatcher()
    dispatcher.reserve("$describe", dict)
    assert dispatcher.find("$describe").function() == {}
    assert dispatcher.names() == []
    assert dispatcher.interface.functions == ()


def test_only_dollar_names_can_be_reserved() -> None:
    with pytest.raises(ArgumentError):
        Dispatcher().reserve("describe", dict)


def test_safe_functions_are_idempotent() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add, safe=True)
    dispatcher.expose(defaults, idempotent=True)
    dispatcher.expose(variadic)
    assert dispatcher.idempotent_names() == ("add", "defaults")
    assert [exposed.safe for exposed in dispatcher] == [True, False, False]


def test_a_module_exposes_what_it_lists() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(statistics)
    assert "mean" in dispatcher.names()
    assert "NormalDist" not in dispatcher.names()
    assert "StatisticsError" not in dispatcher.names()
    assert "sqrt" not in dispatcher.names()


def test_a_module_without_a_list_exposes_what_it_defines() -> None:
    module = types.ModuleType("shop")
    exec("from math import sqrt\ndef sell(): ...\ndef _steal(): ...\nclass Item: ...\nlimit = 5", vars(module))
    dispatcher = Dispatcher()
    dispatcher.expose_object(module)
    assert dispatcher.names() == ["sell"]


def test_a_c_module_can_be_exposed() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(math)
    assert dispatcher.find("sqrt").function is math.sqrt


def test_an_object_exposes_its_public_methods_and_runs_no_property() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(Account())
    assert sorted(dispatcher.names()) == ["bank", "currency", "deposit"]


def test_an_object_exposes_inherited_methods_and_functions_that_it_holds() -> None:
    class Savings(Account):
        monthly = functools.partialmethod(Account.deposit, 10)

        @functools.lru_cache(maxsize=4)  # noqa: B019
        def cached(self) -> int:
            return 1

        @functools.cached_property
        def explodes_once(self) -> int:
            raise AssertionError("a property was run")

    savings = Savings()
    savings.report = lambda: "fine"  # type: ignore[attr-defined]
    dispatcher = Dispatcher()
    dispatcher.expose_object(savings)
    assert sorted(dispatcher.names()) == ["bank", "cached", "currency", "deposit", "monthly", "report"]
    assert dispatcher.find("monthly").function() == 10


def test_a_class_is_refused_with_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"expose_object\(Account\(\)\)"):
        Dispatcher().expose_object(Account)


def test_an_object_without_functions_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no public functions"):
        Dispatcher().expose_object(object())
