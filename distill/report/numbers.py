"""Formats numbers for reports."""

import math

DASH = "\N{EN DASH}"
"""Stands for a missing number."""


def percent(value: float | None) -> str:
    """Format an accuracy.

    Example:
        >>> percent(93.456)
        '93.46 %'
    """
    return DASH if value is None else f"{value:.2f} %"


def signed(value: float) -> str:
    """Format a difference, with a minus sign that lines up with the plus.

    Example:
        >>> signed(1.234), signed(-1.234).encode("ascii", "replace")
        ('+1.23', b'?1.23')
    """
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def share(part: float, whole: float) -> str:
    """Format a part in percent.

    Example:
        >>> share(1, 16)
        '6.2 %'
    """
    return f"{100 * part / whole:.1f} %"


def short(value: float | None) -> str:
    """Format a count in thousands, millions or billions.

    Example:
        >>> short(77_754), short(1.5e6), short(230)
        ('77.8 k', '1.5 M', '230')
    """
    if value is None:
        return DASH
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return (
                f"{value / size:.3g} {unit}" if value / size < 100 else f"{value / size:.0f} {unit}"
            )
    return f"{value:.3g}"


def number(value: float | None, digits: int = 2) -> str:
    """Format a number with some digits after the point; a missing one is a dash."""
    return DASH if value is None or math.isnan(value) else f"{value:.{digits}f}"


def capitalized(text: str) -> str:
    """A text to begin a title with.

    Example:
        >>> capitalized("accuracy"), capitalized("mIoU")
        ('Accuracy', 'mIoU')
    """
    return text.capitalize() if text.islower() else text
