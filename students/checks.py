"""Argument checks that the students share."""

from collections.abc import Mapping
from typing import Any


def check_sizes(num_classes: int, in_channels: int) -> None:
    """Require at least one class and one channel.

    Raises:
        ValueError: If either number is below 1.
    """
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_keys(place: str, given: Mapping[str, Any], known: set[str], optional: set[str]) -> None:
    """Require the known keys, but for the optional ones, and no others.

    Raises:
        ValueError: If one is unknown or missing; the message names the place.
    """
    for name in sorted(map(str, given.keys() - known)):
        raise ValueError(f"{place}.{name} is unknown; {place} has {', '.join(sorted(known))}")
    for name in sorted(known - optional - given.keys()):
        raise ValueError(f"{place}.{name} is missing")


def check_positive(place: str, value: object) -> None:
    """Require an integer of at least 1.

    Raises:
        ValueError: If it is none; the message names the place.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{place} must be an integer of at least 1, got {value!r}")
