import math

import pytest

from distill.report.numbers import DASH, number, percent, short, signed


def test_what_is_unknown_is_a_dash() -> None:
    assert [percent(None), short(None), number(None), number(math.nan)] == [DASH] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.733, "0.733"),
        (999, "999"),
        (1_000, "1 k"),
        (77_754, "77.8 k"),
        (1.21e6, "1.21 M"),
        (250e9, "250 G"),
        (3e12, "3 T"),
    ],
)
def test_counts_have_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_minus_signs_are_as_wide_as_plus_signs() -> None:
    assert (signed(-0.5), signed(0.5)) == ("\N{MINUS SIGN}0.50", "+0.50")
