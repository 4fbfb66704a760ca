"""W&B's distributions against scipy's, and what a sweep file may not say."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from distill.bench.sweep.space import combination, combinations, read_parameters
from distill.core.errors import RecipeError

PROBABILITIES = (0.01, 0.2, 0.5, 0.83, 0.99)
LN = math.log
# What is written, and the same distribution in scipy's words.
CONTINUOUS: dict[str, tuple[dict[str, Any], Any]] = {
    "uniform": ({"min": -1.0, "max": 3.0}, stats.uniform(-1, 4)),
    "log_uniform": ({"min": -2.0, "max": 1.0}, stats.loguniform(np.exp(-2), np.exp(1))),
    "log_uniform_values": ({"min": 0.01, "max": 10.0}, stats.loguniform(0.01, 10)),
    "normal": ({"mu": 2.0, "sigma": 0.5}, stats.norm(2, 0.5)),
    "log_normal": ({"mu": 1.0, "sigma": 0.5}, stats.lognorm(0.5, scale=np.exp(1))),
    "beta": ({"a": 2, "b": 5}, stats.beta(2, 5)),
}


def read(given: dict[str, Any]) -> Any:
    return read_parameters("parameters", {"x": given})["x"]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_distribution_is_that_of_scipy(name: str) -> None:
    given, oracle = CONTINUOUS[name]
    parameter = read(given | {"distribution": name})
    found = [parameter.quantile(u) for u in PROBABILITIES]
    assert found == pytest.approx([oracle.ppf(u) for u in PROBABILITIES])
    assert all(type(value) is float for value in found)


@pytest.mark.parametrize("name", [name for name in CONTINUOUS if name != "uniform"])
def test_a_quantised_distribution_is_rounded_to_multiples(name: str) -> None:
    given, oracle = CONTINUOUS[name]
    quantised = f"q_{name}"
    for q in (0.1, 1):
        found = [
            read(given | {"distribution": quantised, "q": q}).quantile(u) for u in PROBABILITIES
        ]
        assert found == pytest.approx([np.round(oracle.ppf(u) / q) * q for u in PROBABILITIES])
        assert {type(value) for value in found} == {float if q == 0.1 else int}


def test_q_uniform_is_a_list_for_grids_and_rounded_for_draws() -> None:
    parameter = read({"distribution": "q_uniform", "min": 0, "max": 0.4, "q": 0.1})
    assert parameter.values == [0.0, 0.1, 0.2, 0.3, 0.4]
    counts = Counter(parameter.quantile((i + 0.5) / 800) for i in range(800))
    assert counts == {0.0: 100, 0.1: 200, 0.2: 200, 0.3: 200, 0.4: 100}


def test_the_inverse_is_uniform_in_the_logarithm_of_one_over_x() -> None:
    parameter = read({"distribution": "inv_log_uniform", "min": 1.0, "max": 3.0})
    assert [LN(1 / parameter.quantile(u)) for u in (0.25, 0.5)] == pytest.approx([1.5, 2.0])
    parameter = read({"distribution": "inv_log_uniform_values", "min": 0.1, "max": 10.0})
    ends = sorted(LN(1 / parameter.quantile(u)) for u in (0, 1))
    assert ends == pytest.approx([LN(1 / 10), LN(1 / 0.1)])


def test_whole_numbers_are_equally_likely() -> None:
    parameter = read({"min": 3, "max": 6})
    assert list(parameter.values) == [3, 4, 5, 6]
    counts = Counter(parameter.quantile(i / 400) for i in range(401))
    assert counts == {3: 100, 4: 100, 5: 100, 6: 101}


def test_values_have_their_probabilities() -> None:
    parameter = read({"values": ["a", "b", [1]], "probabilities": [0.2, 0.5, 0.3]})
    found = [parameter.quantile(u) for u in (0.0, 0.19, 0.2, 0.69, 0.71, 1.0)]
    assert found == ["a", "a", "b", "b", [1], [1]]


def test_ends_and_ranges_of_no_width_are_finite() -> None:
    assert math.isfinite(read({"distribution": "normal"}).quantile(0.0))
    assert math.isfinite(read({"distribution": "log_normal"}).quantile(1.0))
    assert read({"min": 2.0, "max": 2.0}).quantile(0.7) == 2.0
    assert read({"distribution": "normal", "mu": 3.0, "sigma": 0}).quantile(0.7) == 3.0


def test_nested_parameters_are_joined_by_dots() -> None:
    nested = {"model": {"parameters": {"losses": {"parameters": {"a.weight": {"value": 2}}}}}}
    found = read_parameters("parameters", nested)
    assert list(found) == ["model.losses.a.weight"]
    assert found["model.losses.a.weight"].name == "model.losses.a.weight"


def test_a_grid_has_every_combination_once() -> None:
    space = read_parameters(
        "p", {"a": {"values": [1, True, "x"]}, "b": {"value": 0}, "c": {"min": 1, "max": 2}}
    )
    assert combinations("p", space) == 6
    found = [tuple(combination(space, number).values()) for number in range(6)]
    assert found == [(a, 0, c) for a in range(3) for c in range(2)]


WRONG = {
    "no parameters": ({}, "parameters: needs at least one parameter"),
    "a bare value": ({"x": 3}, "parameters.x: needs value, values or a distribution, got 3"),
    "unknown word": ({"x": {"vlaue": 3}}, "x.vlaue: is not known here, did you mean 'value'"),
    "unknown distribution": (
        {"x": {"distribution": "log_unifrom", "min": 0, "max": 1}},
        "no distribution 'log_unifrom', did you mean 'log_uniform'",
    ),
    "missing bound": (
        {"x": {"distribution": "uniform", "min": 0}},
        "x.max: is required by distribution uniform",
    ),
    "nothing": ({"x": {"min": 0}}, "x: needs value, values, min and max, or distribution"),
    "text as number": ({"x": {"min": "1", "max": 2}}, "x.min: needs a number, got '1'"),
    "reversed": ({"x": {"min": 2.0, "max": 1.0}}, "x.min: must not exceed max, got 2.0, 1.0"),
    "no whole number": (
        {"x": {"distribution": "int_uniform", "min": 0, "max": 1.5}},
        "x.max: needs a whole number, got 1.5",
    ),
    "logarithm of 0": (
        {"x": {"distribution": "log_uniform_values", "min": 0, "max": 1}},
        "x.min: must be above 0 in log_uniform_values, got 0",
    ),
    "q of 0": (
        {"x": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}},
        "x.q: must be above 0, got 0",
    ),
    "negative sigma": (
        {"x": {"distribution": "normal", "sigma": -1}},
        "x.sigma: must be at least 0, got -1",
    ),
    "empty values": ({"x": {"values": []}}, r"x.values: needs a list, got \[\]"),
    "too few probabilities": (
        {"x": {"values": [1, 2], "probabilities": [1]}},
        "x.probabilities: needs one number per value",
    ),
    "probabilities of 0.9": (
        {"x": {"values": [1, 2], "probabilities": [0.4, 0.5]}},
        "x.probabilities: must be at least 0 and sum to 1",
    ),
    "two kinds": ({"x": {"value": 1, "min": 0}}, "x.min: is not known here"),
    "nested and not": (
        {"x": {"parameters": {"y": {"value": 1}}, "value": 2}},
        "x.value: is not known here",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_parameter_is_named(case: tuple[dict[str, Any], str]) -> None:
    given, message = case
    with pytest.raises(RecipeError, match=message):
        read_parameters("parameters", given)


def test_a_grid_of_a_range_is_refused() -> None:
    space = read_parameters("p", {"x": {"min": 0.0, "max": 1.0}})
    with pytest.raises(RecipeError, match=r"p\.x: a grid needs value, values, int_uniform or"):
        combinations("p", space)
