"""Signals in an import: a line and an exit code at once, unless there is something to leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**6): pass\n"
PROGRAM = """
from contextlib import nullcontext
from distill.core.stopping import stoppable, working
try:
    with stoppable(), {context}:
        import slow_to_import
except BaseException as error:
    print(type(error).__name__)
    raise SystemExit(7)
"""


@pytest.mark.parametrize(
    ("context", "code", "out"), [("nullcontext()", 130, ""), ("working('a run')", 7, "Stopped\n")]
)
def test_an_import_is_left_at_once_where_nothing_is_owned(
    context: str, code: int, out: str, tmp_path: Path
) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    places = os.pathsep.join([str(ROOT), str(tmp_path)])
    program = [sys.executable, "-c", PROGRAM.format(context=context)]
    environment = os.environ | {"PYTHONPATH": places}
    # A shell that runs tests in the background has its children ignore SIGINT.
    heard = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended = subprocess.run(program, capture_output=True, text=True, env=environment)
    finally:
        signal.signal(signal.SIGINT, heard)
    assert (ended.returncode, ended.stdout) == (code, out)
    assert ended.stderr == ("distill: SIGINT: stopped\n" if code == 130 else "")
