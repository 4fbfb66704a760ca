"""Signals outside of training: a line and an exit code, whatever is going on just then."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
"""The signals that end a run with a line; in training a checkpoint is saved first."""


class Stopped(BaseException):
    """A signal came while nothing was there to save. No library's ``except Exception`` holds it.

    Args:
        signum: The signal's number.

    Attributes:
        hint: How to go on, set by whoever owns the folder that was worked in.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum, self.hint = signum, ""

    def __str__(self) -> str:
        return f"{signal.Signals(self.signum).name}: stopped" + (self.hint and f"; {self.hint}")


_working: list[str] = []


@contextmanager
def working(what: str) -> Iterator[None]:
    """From here on there is something to leave in order, such as a folder that is owned."""
    _working.append(what)
    try:
        yield
    finally:
        _working.remove(what)


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the signals raise :class:`Stopped`, but for those that nohup or a shell has ignored.

    In an import, while nothing is there to leave in order, they end the process at once, with the
    same line and exit code. Children that are forked meanwhile die of the signals as they would
    anyway. After the first signal others change nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, heard = os.getpid(), handled_signals()

    def stop(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        if not _working and _importing(frame):
            # Libraries in C++ abort where an exception comes out of their own start.
            sys.stderr.write(f"distill: {Stopped(signum)}\n")
            sys.stderr.flush()
            os._exit(128 + signum)
        raise Stopped(signum)

    former = {signum: signal.signal(signum, stop) for signum in heard}
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def handled_signals() -> list[signal.Signals]:
    """The signals that are heard: those that nobody has this process ignore."""
    return [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
