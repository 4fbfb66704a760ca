"""What holds for all tests."""

import os
import signal
from collections.abc import Iterator

import pytest

# What they assert is told with its values, as in a test.
pytest.register_assert_rewrite(
    "tests.fixtures", "tests.losses.contract", "tests.losses.task.contract"
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power: a file is there for the next process without being on the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """Runs stop on signals, even where the tests themselves are to go on: behind nohup and ``&``.

    A signal that is ignored would stay so in every child of a test. One with a handler is back at
    its default in a child that is another program, and a fork sets handlers of its own. Here a
    hang-up still ends nothing, as nohup has it.
    """
    former = {}
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        if signal.getsignal(signum) == signal.SIG_IGN:
            heard = signal.default_int_handler if signum == signal.SIGINT else _go_on
            former[signum] = signal.signal(signum, heard)
    yield
    for signum, handler in former.items():
        signal.signal(signum, handler)


def _go_on(signum: int, frame: object) -> None:
    pass
