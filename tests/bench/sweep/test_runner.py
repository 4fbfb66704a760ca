"""Sweeps of the digits, carried out, killed and gone on with."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from distill.bench import RunsFailedError
from distill.bench.sweep import sweep
from distill.bench.sweep.runner import make_plan
from distill.cli import main
from distill.core.errors import RecipeError
from distill.core.randomness import fold, uniform
from distill.recipes import find, read
from tests.fixtures.forks import start, wait_for
from tests.fixtures.sweeps import BAYES as SPEC
from tests.fixtures.sweeps import BUDGET, table, write

QUIET = Console(quiet=True)
WANDB = ["trainer.logger.class_path=pytorch_lightning.loggers.WandbLogger"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    sweep(write(folder, **SPEC), folder / "out", QUIET)
    return folder


def test_a_sweep_has_a_row_per_trial(finished: Path) -> None:
    rows = table(finished / "out")
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    sought = json.loads((finished / "out" / "sweep.json").read_text())
    assert sought == {"metric": "val/top1", "goal": "maximize"}
    for row in rows:
        run_dir = finished / "out" / f"trial{int(row['trial']):03d}"
        result = json.loads((run_dir / "result.json").read_text())
        top1 = result["student"]["top1"]
        assert float(row["value"]) == top1["val"]["last"]
        assert float(row["best"]) == top1["val"]["best"]
        assert float(row["test_last"]) == top1["test"]["last"]
        config = read(run_dir / "config.yaml")
        rate = config["model"]["init_args"]["optimizer"]["init_args"]["lr"]
        assert float(row["model.optimizer.lr"]) == rate
        assert int(row["data.batch_size"]) == config["data"]["init_args"]["batch_size"]
    for name in ("table.md", "parallel.png", "importance.png"):
        assert (finished / "out" / name).is_file()


def test_the_worse_trials_are_stopped_and_have_results(finished: Path) -> None:
    rows = table(finished / "out")
    came = {(row["state"], row["epochs"]) for row in rows}
    assert came == {("finished", "2"), ("stopped", "1")}
    assert rows[0]["state"] == "finished"


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_to_the_same_table(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (finished / "sweep.yaml", out, QUIET)
    process = start(sweep, *arguments)
    wait_for(process, out / "trial001" / "checkpoints" / "last.ckpt")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert table(out) == table(finished / "out")[:1]
    first = (out / "trial000" / "result.json").stat().st_mtime_ns
    sweep(*arguments)
    assert table(out) == table(finished / "out")
    assert (out / "trial000" / "result.json").stat().st_mtime_ns == first


@pytest.mark.slow
@pytest.mark.parametrize(("method", "jobs"), [("bayes", 1), ("random", 2)])
def test_a_sweep_killed_at_random_five_times_ends_with_the_same_table(
    method: str, jobs: int, tmp_path: Path
) -> None:
    early = SPEC["early_terminate"] if jobs == 1 else None
    changes = {"method": method, "run_cap": 12, "early_terminate": early}
    path = write(tmp_path, **(SPEC | changes))
    command = [sys.executable, "-m", "distill", "sweep", str(path), "--jobs", str(jobs), "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, timeout=900)
    seconds = time.monotonic() - started
    for moment in uniform(fold(jobs, "kill"), torch.arange(5)).flatten().tolist():
        process = subprocess.Popen([*command, str(killed)])
        time.sleep(moment * seconds)
        process.kill()
        process.wait()
    subprocess.run([*command, str(killed)], check=True, timeout=900)
    assert table(killed) == table(whole)
    assert len(table(whole)) == 12


def test_trials_are_wandb_runs_of_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    parameters = {"model.optimizer.lr": {"value": 0.025}, "trainer.max_epochs": {"value": 1}}
    changes = {"method": "grid", "parameters": parameters, "early_terminate": None, "run_cap": None}
    path = write(tmp_path, **(SPEC | changes), name="rates", project="mine")
    sweep(path, tmp_path / "out", QUIET, WANDB)
    told = inspected(tmp_path / "out" / "trial000")
    (begun,) = [line["run"] for line in told if line["type"] == "run"]
    assert (begun["run_group"], begun["display_name"], begun["project"]) == (
        "rates",
        "trial000",
        "mine",
    )
    text = json.dumps(told)
    assert "0.025" in text
    assert "val/top1" in text


def inspected(run_dir: Path) -> list[dict[str, Any]]:
    """What W&B's own reader finds in a trial's offline run."""
    (folder,) = run_dir.glob("wandb/offline-run-*")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_recipe_without_wandb_makes_no_wandb_run(finished: Path) -> None:
    assert not list((finished / "out").rglob("wandb"))


def test_a_trial_that_diverges_is_a_row_and_one_that_fails_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = {
        "model.optimizer.lr": {"values": [1e30, 0.05]},
        "data.train_samples": {"values": [100, 99999]},
        "trainer.max_epochs": {"value": 1},
    }
    changes = {"method": "grid", "parameters": parameters, "early_terminate": None, "run_cap": None}
    path, out = write(tmp_path, **(SPEC | changes)), tmp_path / "out"
    with pytest.raises(RunsFailedError, match="2 of 4 trials failed; the same command tries them"):
        sweep(path, out, Console(width=200))
    printed = capsys.readouterr().out
    assert printed.count("FAILED: data: data.train_samples must be in") == 2
    rows = table(out)
    assert [(row["trial"], row["state"]) for row in rows] == [("0", "diverged"), ("2", "finished")]
    assert rows[0]["value"] == ""
    assert "train_samples" in (out / "trial001" / "error.txt").read_text()
    with pytest.raises(SystemExit, match="distill: 2 of 4 trials failed"):
        main(["sweep", str(path), "--out", str(out)])
    assert table(out) == rows


def test_it_says_that_bayes_is_tpe(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(finished / "sweep.yaml", finished / "out", Console(width=200))
    printed = capsys.readouterr().out
    assert "bayes is Optuna's TPE here, not the Gaussian process of W&B's server" in printed
    assert "trials   3: 3 finished before" in printed
    best = max(float(r["value"]) for r in table(finished / "out") if r["state"] == "finished")
    assert f"val/top1 {best:.4g}: {finished / 'out'}" in printed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.batch_size=3"], "data.batch_size: is varied by the sweep"),
        (["model.optimizer.rate=3"], "SGD has no argument 'rate'"),
        (["trainer.max_epochs=1"], "contains another sweep, or one with other settings"),
    ],
)
def test_a_wrong_override_is_named(overrides: list[str], message: str, finished: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        sweep(finished / "sweep.yaml", finished / "out", QUIET, overrides)


def test_a_recipe_that_was_edited_is_another_sweep(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    shutil.copyfile(find("digits/student"), recipe)
    command = ["distill", "fit", str(recipe), *BUDGET, "${args}"]
    plans = []
    for rate in ("0.05", "0.06"):
        recipe.write_text(recipe.read_text().replace("lr: 0.05", f"lr: {rate}"))
        path = write(tmp_path, **(SPEC | {"command": command}))
        plans.append(make_plan(path, tmp_path / "out", (), 0).digest())
    assert plans[0] != plans[1]


def test_trials_in_stages_are_not_stopped_early(tmp_path: Path) -> None:
    command = ["distill", "fit", "digits/hint_then_kd", "${args}"]
    path = write(tmp_path, **(SPEC | {"command": command}))
    with pytest.raises(RecipeError, match="early_terminate: cannot compare trials that train in"):
        sweep(path, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_a_wrong_sweep_makes_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = {"model.optimizer.rate": {"value": 1}}
    path = write(tmp_path, **(SPEC | {"parameters": parameters}))
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "SGD has no argument 'rate'" in capsys.readouterr().err
    assert main(["sweep", str(path), "--jobs", "0"]) == 2
    assert not (tmp_path / "out").exists()
