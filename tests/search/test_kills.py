"""Searches that are killed five times in each phase, and leave what one left alone leaves."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.clusters import RAY_ENVIRONMENT
from tests.fixtures.searches import inherited, table, write

EPOCHS = {"trainer.max_epochs": 3, "trainer.check_val_every_n_epoch": 1}
FINALS = {"top": 2, "random": 1, "seeds": [1, 2], "overrides": EPOCHS}
CHANGES: dict[str, Any] = {
    "overrides": {"data.train_samples": 100, **EPOCHS},
    "constraints": {"parameters": {"max": 700}, "latency_ms": {"max": 5}},
    "strategy": {"class_path": "distill.search.Evolution", "init_args": {"population": 2}},
    "trials": 6,
    "parallel": 2,
    "finals": FINALS,
}
CANDIDATES = [f"trials/trial{n:03d}/checkpoints/last.ckpt" for n in range(1, 6)]
BENCH = ["by_hand/seed2", "top1/seed1", "top1/seed2", "top2/seed1", "random1/seed1"]
RAY = ["--jobs=2", "--ray=local"]
MILESTONES = [*CANDIDATES, *(f"finals/{run}/checkpoints/last.ckpt" for run in BENCH)]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--jobs=1"], ["--jobs=2"], RAY], ids=" ".join)
def test_five_kills_in_each_phase_leave_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    if options == RAY:
        for name, value in RAY_ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        pytest.importorskip("ray", reason="needs distill[ray]")
    path, out, whole = write(tmp_path, **CHANGES), tmp_path / "killed", tmp_path / "whole"
    latency = out / "latency.csv"
    for rows in (3, 9, 15, 21, 27):
        _kill(path, out, options, lambda rows=rows: _lines(latency) > rows)
    for milestone in MILESTONES:
        _kill(path, out, options, lambda milestone=milestone: (out / milestone).exists())
    _finish(path, out, options)
    whole.mkdir()
    shutil.copy(latency, whole)  # times are measured once: they are part of what a search follows
    _finish(path, whole)
    assert table(out / "results.csv") == table(whole / "results.csv")
    assert any(row["parent"] for row in table(out / "results.csv"))
    assert_same_files(out, whole, "latency.csv")


@pytest.mark.slow
def test_five_kills_in_each_phase_of_a_search_that_inherits_leave_the_same_bytes(
    tmp_path: Path,
) -> None:
    changes = inherited(trials=40, strategy=CHANGES["strategy"], finals=FINALS, constraints=None)
    changes["supernet"]["overrides"]["trainer.max_epochs"] = 7
    stage = changes["space"]["init_args"]["stages"][0]
    stage.update(kernel=[3, 5], width=[4, 6, 8])  # 48 designs
    path, out, whole = write(tmp_path, **changes), tmp_path / "killed", tmp_path / "whole"
    for rows in (1, 2, 3, 4, 5):
        _kill(path, out, [], lambda rows=rows: _lines(out / "supernet" / "metrics.csv") > rows)
    for lines in (8, 25, 45, 65, 85):
        _kill(path, out, [], lambda lines=lines: _lines(out / "journal.log") > lines)
    for run in BENCH:
        last = out / "finals" / run / "checkpoints" / "last.ckpt"
        _kill(path, out, [], last.exists)
    _finish(path, out, ["--jobs=2"])
    _finish(path, whole)
    assert table(out / "results.csv") == table(whole / "results.csv")
    assert_same_files(out, whole, "best.safetensors", "supernet/student.safetensors")


def assert_same_files(out: Path, whole: Path, *names: str) -> None:
    weights = [one.relative_to(whole) for one in whole.glob("finals/*/seed*/student.safetensors")]
    assert len(weights) == 8
    for name in (*weights, "pareto.csv", "best.yaml", *names):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def _kill(path: Path, out: Path, options: Sequence[str], due: Any) -> None:
    """Kill a search when it is due; one whose clock was too noisy is started again."""
    for _ in range(10):
        process = _start(path, out, options)
        while not due() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        _, told = process.communicate()
        if process.returncode == -signal.SIGKILL:
            return
        assert b"clock is too noisy" in told
    pytest.fail("the clock was too noisy ten times")


def _finish(path: Path, out: Path, options: Sequence[str] = ()) -> None:
    process = _start(path, out, options)
    _, told = process.communicate()
    assert process.returncode == 0, told


def _start(path: Path, out: Path, options: Sequence[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "distill", "search", str(path), f"--out={out}"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
