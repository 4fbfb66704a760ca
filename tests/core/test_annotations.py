from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from distill.core import annotations
from distill.core.errors import RecipeError


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (1, float),
        (0.5, float),
        (None, float | None),
        ("eval", Literal["eval", "train"]),
        ([1, 2], Sequence[int]),
        ((1, 2), tuple[int, int]),
        ({"a": 1.5}, dict[str, float]),
        (True, bool),
        ("path", float | str),
    ],
)
def test_takes_what_the_annotation_allows(value: object, annotation: Any) -> None:
    annotations.check_plain("key", value, annotation)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (True, int, "needs a whole number, got True"),
        (True, float, "needs a number, got True"),
        ("1", int, "needs a whole number, got '1'"),
        (1.5, int, "needs a whole number, got 1.5"),
        (None, float, "needs a number, got None"),
        (1, str, "needs a text, got 1"),
        ("evil", Literal["eval", "train"], r"needs eval or train, got 'evil', did you mean 'eval'"),
        ([1, "2"], Sequence[int], r"needs a list, each a whole number, got \[1, '2'\]"),
        ({"a": "b"}, dict[str, float], "needs a mapping, each a number, got {'a': 'b'}"),
        ([1, "a"], Sequence[int], r"got \[1, 'a'\]"),
        ([0.5], tuple[float, float], r"needs a list of 2, each a number, got \[0\.5\]"),
        ([], float | Literal["auto"], r"needs a number or auto, got \[\]"),
    ],
)
def test_refuses_the_rest_by_name(value: object, annotation: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as told:
        annotations.check_plain("data.batch_size", value, annotation)
    assert "data.batch_size" in str(told.value)


def test_a_value_is_left_as_it_was() -> None:
    value = {"a": [1]}
    annotations.check_plain("key", value, dict[str, list[float]])
    assert repr(value) == "{'a': [1]}"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(RecipeError, match=r"lr: must be finite"):
        annotations.check_finite("lr", value)
    annotations.check_finite("lr", 1.0)


@pytest.mark.parametrize(
    ("annotation", "plain"),
    [
        (int, True),
        (float | None, True),
        (Sequence[tuple[int, str]], True),
        (nn.Module, False),
        (Sequence[nn.Module], False),
        (object, False),
        (Callable[[int], int], False),
    ],
)
def test_plain_types_hold_numbers_and_texts_alone(annotation: Any, plain: bool) -> None:
    assert annotations.is_plain(annotation) is plain


@pytest.mark.parametrize(
    ("annotation", "keys", "items"),
    [
        (list[nn.Module], [], [(nn.Module,)]),
        (dict[str, nn.Module] | None, [(str, nn.Module)], []),
        (tuple[nn.Module, ...], [], [(nn.Module,)]),
        (tuple[int, nn.Module], [], [(int, nn.Module)]),
        (Iterable[nn.Module] | nn.Module, [], [(nn.Module,)]),
        (nn.Module, [], []),
        (Callable[[list[int]], int], [], []),
    ],
)
def test_what_containers_hold(annotation: Any, keys: list[Any], items: list[Any]) -> None:
    assert annotations.mappings(annotation) == keys
    assert annotations.sequences(annotation) == items


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (nn.Module | str | None, (nn.Module,)),
        (Callable[[Any], Optimizer] | None, (Optimizer,)),
        (Callable[[int], float], ()),
        (Callable[..., Any], ()),
        (float | torch.Tensor, ()),
        (Path | str, ()),
        (type[nn.Module], ()),
        (list[nn.Module], ()),
        (nn.ModuleList, (nn.ModuleList,)),
        (Any, ()),
    ],
)
def test_the_types_that_a_class_path_may_have(annotation: Any, kinds: tuple[type, ...]) -> None:
    assert annotations.wanted(annotation) == kinds


def test_arguments_are_told_as_the_parser_sees_them() -> None:
    def odd(value: "Nowhere", plain=1, **more: int) -> None:  # noqa: F821
        """Its first annotation names nothing, its second has none."""

    assert annotations.arguments_of(odd) == {"value": (object, True), "plain": (object, False)}
    assert annotations.arguments_of(nn.Linear)["in_features"] == (int, True)
    assert annotations.arguments_of(nn.Sequential) == {}
