import math

from distill.results.numbers import p_value, plus_minus


def test_small_probabilities_are_not_zero() -> None:
    assert (p_value(0.0), p_value(0.0499)) == ("< 0.001", "0.050")


def test_one_seed_has_no_deviation() -> None:
    assert plus_minus(90.0, math.nan) == "90.00"
