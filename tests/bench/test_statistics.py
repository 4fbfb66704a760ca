import math

import pytest
from scipy import stats

from distill.bench.statistics import paired_difference, spread


def test_spread_is_mean_and_sample_deviation() -> None:
    mean, deviation = spread([90.0, 92.0, 97.0])
    assert mean == pytest.approx(93.0)
    assert deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))


def test_one_value_has_no_spread() -> None:
    assert math.isnan(spread([90.0])[1])
    assert math.isnan(paired_difference([90.0], [80.0]).low)


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    values, baseline = [90.0, 92.5, 97.0, 91.0], [89.0, 92.0, 93.5, 91.5]
    oracle = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    difference = paired_difference(values, baseline)
    assert difference.mean == pytest.approx(1.125)
    assert (difference.low, difference.high) == pytest.approx((oracle.low, oracle.high))


def test_pairing_removes_what_a_seed_does_to_both() -> None:
    difference = paired_difference([91.0, 81.0, 71.0], [90.0, 80.0, 70.0])
    assert difference == pytest.approx((1.0, 1.0, 1.0))


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must be paired: 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])
