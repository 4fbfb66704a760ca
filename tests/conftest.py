"""What holds for all tests."""

import os

import pytest

# What they assert is told with its values, as in a test.
pytest.register_assert_rewrite(
    "tests.fixtures", "tests.losses.contract", "tests.losses.task.contract"
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power: a file is there for the next process without being on the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
