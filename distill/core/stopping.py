"""Signals outside of training: a line and an exit code, whatever is going on just then."""

import os
import signal
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


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the signals raise :class:`Stopped`, but for those that nohup or a shell has ignored.

    Children that are forked meanwhile die of the signals as they would anyway. After the first
    signal others change nothing.
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
        raise Stopped(signum)

    former = {signum: signal.signal(signum, stop) for signum in heard}
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)


def handled_signals() -> list[signal.Signals]:
    """The signals that are heard: those that nobody has this process ignore."""
    return [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
