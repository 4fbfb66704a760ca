"""The statistics of a bench: spread over seeds, and differences paired by seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Difference(NamedTuple):
    """A mean paired difference and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); the latter is NaN for one value.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """Mean of value minus baseline, seed by seed, with Student's t interval.

    Args:
        values: One accuracy per seed.
        baseline: The baseline's for the same seeds, in the same order.

    Returns:
        The difference; for one seed the interval is NaN.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(values) != len(baseline):
        raise ValueError(f"values and baseline must be paired: {len(values)} and {len(baseline)}")
    differences = np.subtract(values, baseline)
    mean, deviation = spread(differences.tolist())
    n = len(differences)
    if n < 2:
        return Difference(mean, np.nan, np.nan)
    half = float(stats.t.ppf(0.975, n - 1)) * deviation / n**0.5
    return Difference(mean, mean - half, mean + half)
