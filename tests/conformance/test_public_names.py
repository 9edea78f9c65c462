"""Every folder's `__init__` is its door: what it lists can be imported from there, and what it imports is listed."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

LAYERS = ("domain", "infrastructure", "projections", "api")


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"execution_ledger.{request.param}")


def test_every_listed_name_can_be_imported(layer: ModuleType) -> None:
    for name in getattr(layer, "__all__", ()):
        assert getattr(layer, name) is not None
        exec(f"from {layer.__name__} import {name}", {})


def test_every_name_at_the_door_is_listed_once(layer: ModuleType) -> None:
    listed = list(getattr(layer, "__all__", ()))
    public = {
        name for name, each in vars(layer).items() if not name.startswith("_") and not isinstance(each, ModuleType)
    }
    assert public - {"annotations"} == set(listed)
    assert len(listed) == len(set(listed))


def test_every_public_class_and_function_says_what_it_is(layer: ModuleType) -> None:
    for name in getattr(layer, "__all__", ()):
        each = getattr(layer, name)
        if callable(each) and getattr(each, "__module__", "").startswith("execution_ledger"):
            assert (each.__doc__ or "").strip(), name


def test_the_interface_of_the_seed_comes_from_the_door_of_infrastructure() -> None:
    from execution_ledger.infrastructure import BaseRepository, ExecutionHistory, ExecutionRepository

    assert issubclass(ExecutionRepository, BaseRepository)
    assert ExecutionRepository.entity.model is ExecutionHistory


def test_every_layer_ships_its_types() -> None:
    for name in LAYERS:
        folder = importlib.import_module(f"execution_ledger.{name}").__path__[0]
        with open(f"{folder}/py.typed") as marker:
            assert marker.read() == ""
