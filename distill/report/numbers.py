"""Numbers as they stand in a report."""

import math

DASH = "\N{EN DASH}"
"""What stands where there is no number."""


def percent(value: float | None) -> str:
    """An accuracy.

    Example:
        >>> percent(93.456)
        '93.46 %'
    """
    return DASH if value is None else f"{value:.2f} %"


def signed(value: float) -> str:
    """A difference, with a minus sign that lines up with the plus.

    Example:
        >>> signed(1.234), signed(-1.234).encode("ascii", "replace")
        ('+1.23', b'?1.23')
    """
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def share(part: float, whole: float) -> str:
    """A part in percent.

    Example:
        >>> share(1, 16)
        '6.2 %'
    """
    return f"{100 * part / whole:.1f} %"


def short(value: float | None) -> str:
    """A count in thousands, millions or billions.

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
    """A number with so many digits after the point; a dash where there is none."""
    return DASH if value is None or math.isnan(value) else f"{value:.{digits}f}"
