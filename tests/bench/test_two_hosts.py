"""A bench on a Ray cluster of two hosts, one of which is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from distill.bench import bench
from tests.fixtures.clusters import RAY_ENVIRONMENT
from tests.fixtures.hosts import IP, two_hosts
from tests.fixtures.runs import QUIET
from tests.fixtures.sweeps import table

ROOT = Path(__file__).parents[2]
EPOCHS = {"trainer.max_epochs": 12, "trainer.check_val_every_n_epoch": 1}
BENCH: dict[str, Any] = {
    "teacher": "digits/teacher",
    "baseline": "digits/student",
    "methods": ["digits/kd"],
    "seeds": [0, 1],
    "overrides": EPOCHS,
    "teacher_overrides": {"trainer.max_epochs": 1, "data.train_samples": 128},
}
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--disable-usage-stats"]
RAY += ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000"]
SECONDS = 500


@pytest.mark.slow
def test_a_host_that_is_lost_costs_its_own_runs_which_are_run_again(tmp_path: Path) -> None:
    """Each has a network of its own; the folder is visible to both."""
    pytest.importorskip("ray", reason="needs distill[ray]")
    path, out, whole = (tmp_path / name for name in ("bench.json", "ray", "whole"))
    path.write_text(json.dumps(BENCH))
    bench(path, whole, QUIET)
    command = [sys.executable, "-m", "distill", "bench", str(path), f"--out={out}", "--jobs=2"]
    with two_hosts() as hosts, TemporaryDirectory(dir="/tmp") as sockets:  # their paths are short
        (first, address), (second, other) = hosts.items()
        cluster = f"{address}:6379"
        try:
            head = ["--head", "--port=6379", "--include-dashboard=false"]
            _start_ray(first, address, f"{sockets}/a", *head)
            _start_ray(second, other, f"{sockets}/b", f"--address={cluster}")
            process = _on(first, *command, f"--ray={cluster}")
            (lost,) = _wait_for(process, lambda: _half_done(out, second))
            before = {one: one.stat().st_mtime_ns for one in out.glob("*/seed*/result.json")}
            _kill(second)
            assert not (lost / "result.json").exists()
            _, told = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, told
            assert (lost / "result.json").is_file()
            assert {one: one.stat().st_mtime_ns for one in before} == before
        finally:
            for name in hosts:
                _kill(name)
    assert table(out) == table(whole)
    assert len(table(out)) == 4


def _on(host: str, *command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [IP, "netns", "exec", host, *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | RAY_ENVIRONMENT,
    )


def _start_ray(host: str, address: str, sockets: str, *options: str) -> None:
    own = [f"--node-ip-address={address}", f"--temp-dir={sockets}"]
    process = _on(host, *RAY, *own, *options)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told


def _processes(host: str) -> list[int]:
    found = subprocess.run([IP, "netns", "pids", host], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def _kill(host: str) -> None:
    """Kill all that runs on a host, as a loss of power does."""
    while found := _processes(host):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _half_done(out: Path, host: str) -> list[Path]:
    """Runs in progress on a host that have saved a checkpoint."""
    here = {str(pid) for pid in _processes(host)}
    saved = [path.parents[1] for path in out.glob("*/seed*/checkpoints/last.ckpt")]
    open_ = (run for run in saved if not (run / "result.json").exists())
    return [run for run in open_ if (run / ".pid").read_text() in here]


def _wait_for(process: "subprocess.Popen[str]", found: Callable[[], list[Path]]) -> list[Path]:
    """Wait until something is found; fail where it takes too long, or the process ends before."""
    end = time.monotonic() + SECONDS
    while not (paths := found()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return paths
