"""Signals at random times from a process's start to its end: a line, an exit code, exact resume."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from distill.core.randomness import fold, uniform
from distill.core.stopping import Stopped, handled_signals, stoppable
from tests.fixtures.runs import assert_same, final_state, train_rows

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


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_at_any_time_ends_in_a_line_and_the_run_goes_on(
    signum: signal.Signals, tmp_path: Path
) -> None:
    began = time.monotonic()
    assert ended(start([*COMMAND, "--run_dir", str(tmp_path / "whole")]))[0] == 0
    seconds = time.monotonic() - began
    state, rows = final_state(tmp_path / "whole"), train_rows(tmp_path / "whole")
    tries = int(os.environ.get("DISTILL_SIGNAL_TRIES", "5"))
    for number in range(tries):
        run_dir = tmp_path / f"run{number}"
        process = start([*COMMAND, "--run_dir", str(run_dir)])
        at = 0.05 + seconds * uniform(fold("signal", int(signum)), torch.tensor([number])).item()
        time.sleep(at)
        process.send_signal(signum)
        _, told = ended(process)
        where = f"{signum.name} after {at:.2f} of {seconds:.2f} s: {process.returncode} {told}"
        if process.returncode == 0:  # it was over
            assert told == [], where
        elif process.returncode == -signum:  # before the first line of ours
            assert told == [], where
            assert at < 0.3, where
            assert not run_dir.exists(), where
        else:
            assert process.returncode == 128 + signum, where
            assert len(told) == 1, where
            assert told[0].startswith(f"distill: {signum.name}: "), where
        if run_dir.exists():
            again = [*COMMAND[:5], "resume", str(run_dir)]
        else:
            again = [*COMMAND, "--run_dir", str(run_dir)]
        if process.returncode != 0:
            assert ended(start(again))[0] == 0, where
        assert_same(state, final_state(run_dir), where)
        assert train_rows(run_dir) == rows, where


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
