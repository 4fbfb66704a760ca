"""``python -m distill`` and the command ``distill``."""

import signal
import sys
import warnings

from distill.core.stopping import Stopped, handled_signals, stoppable


def run() -> int:
    """Run the command line, ready for a signal from its first import to its last."""
    heard = handled_signals()
    try:
        with stoppable():
            from distill.cli import main

            warnings.formatwarning = _in_a_line
            code = main()
            # What is to do is done; a handler would be gone before the interpreter is.
            signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    except Stopped as stopped:
        sys.stderr.write(f"distill: {stopped}\n")
        code = 128 + stopped.signum
    return code


def _in_a_line(
    message: Warning | str, category: object, filename: str, lineno: int, line: str | None = None
) -> str:
    return f"distill: warning: {message}\n"


if __name__ == "__main__":
    sys.exit(run())
