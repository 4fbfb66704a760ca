"""Signals at random times from a process's start to its end: a line, an exit code, exact resume."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distill.cli import main
from distill.core.randomness import fold, uniform
from distill.core.stopping import Stopped, handled_signals, stoppable
from tests.fixtures.forks import start as forked
from tests.fixtures.runs import assert_same, final_state, metrics

ROOT = Path(__file__).parents[2]
COMMAND = [
    *(sys.executable, "-W", "ignore", "-m", "distill"),
    *("fit", "digits/student", "--trainer.max_epochs=12", "--trainer.check_val_every_n_epoch=2"),
]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        preexec_fn=hear,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code and what was written to stderr."""
    written = process.communicate()[1]
    return process.returncode, written.strip().splitlines()


def hear() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def hears(process: subprocess.Popen[str]) -> bool:
    """Whether a process has handlers of ours, of which that of SIGHUP is the last to be set.

    Before that, while the interpreter starts, a signal is the system's matter, and SIGINT Python's.
    """
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False  # it is over
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def go_on(arguments: list[str]) -> None:
    raise SystemExit(main(arguments))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for handlers")
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_at_any_time_ends_in_a_line_and_the_run_goes_on(
    signum: signal.Signals,
    tmp_path: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    began = time.monotonic()
    assert ended(start([*COMMAND, "--run_dir", str(tmp_path / "whole")]))[0] == 0
    seconds = time.monotonic() - began
    whole = tmp_path / "whole"
    state, rows = final_state(whole), metrics(whole)
    tries = int(os.environ.get("DISTILL_SIGNAL_TRIES", "20"))
    counts = Counter[str]()
    for number in range(tries):
        run_dir = tmp_path / f"run{number}"
        process = start([*COMMAND, "--run_dir", str(run_dir)])
        at = seconds * uniform(fold("signal", int(signum)), torch.tensor([number])).item()
        time.sleep(at)
        heard = hears(process)
        process.send_signal(signum)
        _, told = ended(process)
        where = f"{signum.name} after {at:.2f} of {seconds:.2f} s: {process.returncode} {told}"
        if process.returncode == 0:  # it was over
            counts["over"] += 1
            assert told == [], where
        elif process.returncode == 128 + signum and len(told) == 1:
            counts["a line"] += 1
            assert told[0].startswith(f"distill: {signum.name}: "), where
        else:
            counts["before the first line of ours"] += 1
            assert not heard, where
            assert not run_dir.exists(), where
        arguments = ["resume", str(run_dir)]
        if not run_dir.exists():
            arguments = [*COMMAND[5:], "--run_dir", str(run_dir)]
        if process.returncode != 0:
            child = forked(go_on, arguments)
            child.join()
            assert child.exitcode == 0, where
        assert_same(state, final_state(run_dir), where)
        assert metrics(run_dir) == rows, where
    record_testsuite_property(signum.name, dict(counts))
    assert counts["a line"] > tries // 4


def test_a_signal_outside_of_training_is_an_exception_of_its_own() -> None:
    former = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        with pytest.raises(Stopped) as caught, stoppable():
            signal.raise_signal(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGUSR1, former)
    caught.value.hint = "start again"
    assert str(caught.value) == "SIGUSR1: stopped; start again"


def test_ignored_signals_stay_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in handled_signals()
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, former)
