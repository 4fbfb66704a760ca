"""What constructors of augmentations ask of their arguments."""

import math
from collections.abc import Sequence


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a number outside ``low..high``.

    Raises:
        ValueError: With the argument's name, the bounds and the number.
    """
    if not low <= value <= high:
        needed = f"at least {low}" if high == math.inf else f"in {low}..{high}"
        raise ValueError(f"{name} must be {needed}, got {value}")


def check_range(name: str, value: Sequence[float], low: float, high: float = math.inf) -> None:
    """Refuse what is not two ascending numbers in ``low..high``.

    Raises:
        ValueError: With the argument's name, the bounds and the numbers.
    """
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        bounds = f"at least {low}" if high == math.inf else f"in {low}..{high}"
        raise ValueError(f"{name} must be two ascending numbers {bounds}, got {list(value)}")
