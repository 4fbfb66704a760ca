"""Hints in messages."""

from distill.core.suggest import nearest


def test_names_that_are_numbers_are_names_too() -> None:
    assert nearest("ce", [1, "cf"]) == ", did you mean 'cf'?"  # type: ignore[list-item]
