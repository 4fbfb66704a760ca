"""Hints in messages."""

from distill.core.suggest import nearest


def test_names_that_are_numbers_are_names_too() -> None:
    assert nearest("temprature", [1, "temperature"]) == ", did you mean 'temperature'?"  # type: ignore[list-item]
