"""Checks of the arguments of augmentations."""

import math
from collections.abc import Sequence
from numbers import Integral, Real


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Require a number in ``low..high``.

    Raises:
        ValueError: With the argument's name, the bounds and the value.
    """
    if not (_is(Real, value) and low <= value <= high and value < math.inf):
        raise ValueError(f"{name} must be {_bounds(low, high)}, got {value}")


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """Require a whole number in ``low..high``.

    Raises:
        ValueError: With the argument's name, the bounds and the value.
    """
    if not _is(Integral, value):
        raise ValueError(f"{name} must be a whole number, got {value}")
    check_number(name, value, low, high)


def check_range(name: str, value: Sequence[float], low: float, high: float = math.inf) -> None:
    """Require two ascending numbers in ``low..high``.

    Raises:
        ValueError: With the argument's name, the bounds and the value.
    """
    pair = isinstance(value, Sequence) and len(value) == 2 and all(_is(Real, v) for v in value)
    if not (pair and low <= value[0] <= value[1] <= high):
        shown = list(value) if isinstance(value, Sequence) else value
        raise ValueError(f"{name} must be two ascending numbers {_bounds(low, high)}, got {shown}")


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _bounds(low: float, high: float) -> str:
    return f"at least {low}" if high == math.inf else f"in {low}..{high}"
