from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from torch import nn

from distill.core.errors import RecipeError
from distill.recipes import annotations


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
    ("annotation", "item"),
    [
        (list[nn.Module], nn.Module),
        (dict[str, nn.Module] | None, nn.Module),
        (tuple[nn.Module, ...], nn.Module),
        (int, object),
    ],
)
def test_the_type_of_what_a_container_holds(annotation: Any, item: type) -> None:
    assert annotations.item_type(annotation) is item


def test_functions_without_resolvable_annotations_have_none() -> None:
    def odd(value: "Nowhere") -> None:  # noqa: F821
        """Its annotation names nothing."""

    assert annotations.argument_types(odd) == {}
    assert annotations.argument_types(nn.Linear)["in_features"] is int
