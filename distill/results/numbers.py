"""Numbers as they stand in tables."""

import math


def plus_minus(mean: float, deviation: float) -> str:
    """Mean and standard deviation; the mean alone where one seed has none.

    Example:
        >>> plus_minus(93.456, 0.1234), plus_minus(93.456, math.nan)
        ('93.46 ± 0.12', '93.46')
    """
    return f"{mean:.2f}" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def p_value(value: float) -> str:
    """A probability.

    Example:
        >>> p_value(0.0304), p_value(0.0004)
        ('0.030', '< 0.001')
    """
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
