import itertools
import math

import numpy as np
import pytest
from scipy import stats

from distill.results.statistics import (
    bootstrap_difference,
    gap_closed,
    holm,
    paired_difference,
    paired_p,
    spread,
)


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


def test_the_bootstrap_interval_is_that_of_all_resamples() -> None:
    values = [1.0, 2.5, 4.0, 3.0]
    means = [np.mean(chosen) for chosen in itertools.product(values, repeat=4)]
    low, high = np.percentile(means, [2.5, 97.5])
    found = bootstrap_difference(values, [0.0] * 4)
    assert found.mean == pytest.approx(2.625)
    # 9,999 draws instead of all 256 resamples; the steps between their means are 0.125 and more.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.13)
    assert found == bootstrap_difference(values, [0.0] * 4)


def test_the_bootstrap_interval_leans_where_the_differences_do() -> None:
    """Percentiles of the means themselves, not mirrored at the mean: none is below the smallest."""
    values = [0.0, 0.0, 0.0, 0.0, 10.0]
    means = [np.mean(chosen) for chosen in itertools.product(values, repeat=5)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert (low, high) == (0.0, 6.0)
    found = bootstrap_difference(values, [0.0] * 5)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_has_no_bootstrap_interval() -> None:
    assert math.isnan(bootstrap_difference([90.0], [80.0]).low)


def test_p_is_that_of_the_paired_t_test() -> None:
    values, baseline = [90.0, 92.5, 97.0, 91.0], [89.0, 92.0, 93.5, 91.5]
    assert paired_p(values, baseline) == pytest.approx(stats.ttest_rel(values, baseline).pvalue)
    assert math.isnan(paired_p([90.0], [80.0]))
    assert paired_p([2.0, 3.0], [1.0, 2.0]) == 0.0
    assert paired_p([2.0, 3.0], [2.0, 3.0]) == 1.0


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04; the last is
    # raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_holm_does_not_count_what_was_not_tested() -> None:
    adjusted = holm([math.nan, 0.02, 0.04])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == [0.04, 0.04]


def test_a_teacher_that_is_no_better_leaves_no_gap() -> None:
    assert gap_closed(92.0, 90.0, 98.0) == 0.25
    assert math.isnan(gap_closed(92.0, 90.0, 90.0))
