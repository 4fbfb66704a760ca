from typing import Any

import pytest

from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes.growth import check_growth


def test_a_value_may_stand_for_another_and_that_for_a_third() -> None:
    tree: dict[str, Any] = {"a": "${b}", "b": "${c.0}", "c": [{"d": 1}], "e": {"f": "${.g}"}}
    check_growth(tree)
    check_growth({"m": {"s": {"t": "${...teacher}"}, "teacher": {"x": 1}}})


@pytest.mark.parametrize(
    "tree",
    [
        {"a": "${a}"},
        {"a": "${b}", "b": "${a}"},
        {"a": {"b": "${a}"}},
        {"a": ["${a}"]},
        {"m": {"s": {"t": "${..}"}}},
    ],
)
def test_a_value_that_stands_for_itself_is_named(tree: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="stands for itself"):
        recipes.resolve(tree)


@pytest.mark.parametrize("joined", [True, False])
def test_a_few_lines_cannot_grow_without_end(joined: bool) -> None:
    tree: dict[str, Any] = {"k0": "x" * 100}
    for level in range(1, 40):
        below = f"${{k{level - 1}}}"
        tree[f"k{level}"] = below * 4 if joined else [below] * 4
    with pytest.raises(RecipeError, match=r"k\d+: stands for more than 100,000 values"):
        recipes.resolve(tree)
