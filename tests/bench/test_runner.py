import csv
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

from distill.bench import RunsFailedError, bench
from distill.bench.spec import read_bench
from distill.cli import main
from distill.core.errors import RecipeError
from distill.core.randomness import fold, uniform
from distill.recipes import read
from distill.runs.directory import lock_run_dir
from distill.runs.repeatable import RepeatableRun
from students import resnet14
from tests.fixtures.forks import start, wait_for

FAST = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
SPEC = {
    "teacher": "digits/teacher",
    "baseline": "digits/student",
    "methods": ["digits/kd"],
    "seeds": [0, 1],
    "overrides": FAST,
    "teacher_overrides": {"trainer.max_epochs": 1, "data.train_samples": 128},
}
ALONE = {"recipe": "digits/student"}
QUIET = Console(quiet=True)


def write(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(SPEC | changes))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    bench(write(folder / "bench.yaml"), folder / "out", QUIET)
    return folder


def table(out: Path) -> list[dict[str, str]]:
    """``results.csv`` apart from times and places."""
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("wall_s", "run_dir")} for row in rows]


def test_a_bench_has_a_row_per_method_and_seed(finished: Path) -> None:
    out = finished / "out"
    rows = table(out)
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("student", "0"),
        ("student", "1"),
        ("kd", "0"),
        ("kd", "1"),
    ]
    for name in ("results.csv", "table.md", "plot.png", "teacher/result.json"):
        assert (out / name).is_file()
    teacher = json.loads((out / "teacher" / "result.json").read_text())["student"]["top1"]["test"]
    assert float(rows[2]["teacher_test"]) == teacher["last"]


def test_a_bench_trains_once_and_then_reads(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    path = write(tmp_path / "bench.yaml", methods=[], variants={"b": ALONE})
    shutil.copytree(out / "student", out / "b")
    runs = sorted(out.rglob("student.safetensors"))
    before = {run: run.stat().st_mtime_ns for run in runs}
    assert len(runs) == 7
    rows = bench(path, out, QUIET)
    assert {run: run.stat().st_mtime_ns for run in runs} == before
    (out / "b" / "seed1" / "result.json").unlink()
    again = bench(path, out, QUIET)
    assert [row["test_last"] for row in again] == [row["test_last"] for row in rows]
    changed = ALONE | {"overrides": {"model.losses.ce.weight": 0.5}}
    bench(write(path, methods=[], variants={"b": changed}), out, QUIET)
    after = {run: run.stat().st_mtime_ns for run in runs}
    kept = {run.parent.parent.name for run in runs if after[run] == before[run]}
    assert kept == {"out", "kd", "student"}


def test_a_bench_that_is_killed_goes_on_to_the_same_table(finished: Path, tmp_path: Path) -> None:
    out, alone = tmp_path / "out", {"teacher": None, "methods": [], "seeds": [0]}
    path = write(tmp_path / "bench.yaml", **alone, variants={"b": ALONE})
    arguments = (path, out, QUIET)
    process = start(bench, *arguments)
    wait_for(process, out / "b" / "seed0" / "checkpoints" / "last.ckpt")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert table(out) == table(finished / "out")[:1]
    first = (out / "student" / "seed0" / "result.json").stat().st_mtime_ns
    bench(*arguments)
    student = table(finished / "out")[0]
    assert table(out) == [student, student | {"method": "b", "against": "student"}]
    assert (out / "student" / "seed0" / "result.json").stat().st_mtime_ns == first


@pytest.mark.slow
def test_a_bench_killed_at_random_five_times_ends_with_the_same_table(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.yaml", seeds=[0, 1, 2])
    command = [sys.executable, "-m", "distill", "bench", str(path), "--jobs", "2", "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, timeout=600)
    seconds = time.monotonic() - started
    moments = uniform(fold(0, "kill"), torch.arange(5)).flatten().tolist()
    for moment in moments:
        process = subprocess.Popen([*command, str(killed)])
        time.sleep(moment * seconds)
        process.kill()
        process.wait()
    subprocess.run([*command, str(killed)], check=True, timeout=600)
    assert table(killed) == table(whole)
    assert len(table(whole)) == 6


def test_a_run_that_fails_is_told_in_a_line_and_the_others_go_on(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    broken = {"recipe": "digits/student", "overrides": {"model.optimizer.lr": 1e30}}
    path = write(tmp_path / "bench.yaml", methods=[], variants={"broken": broken}, seeds=[0])
    with pytest.raises(RunsFailedError, match="1 of 2 runs failed; the same command tries them"):
        bench(path, out, Console(width=200))
    lines = [line for line in capsys.readouterr().out.splitlines() if "FAILED" in line]
    assert len(lines) == 1
    assert lines[0].startswith("2/2      broken       seed 0  FAILED: ")
    assert "is not finite at step" in lines[0]
    assert "NonFiniteError" in (out / "broken" / "seed0" / "error.txt").read_text()
    assert [row["method"] for row in table(out)] == ["student"]
    with pytest.raises(SystemExit, match="distill: 1 of 2 runs failed"):
        main(["bench", str(path), "--out", str(out)])


def test_a_recipe_that_is_wrong_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    wrong = {"recipe": "digits/kd", "overrides": {"model.optimizer.rate": 1}}
    path = write(tmp_path / "bench.yaml", variants={"wrong": wrong})
    with pytest.raises(RecipeError, match="SGD has no argument 'rate'"):
        bench(path, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_overrides_are_keys_and_values_of_any_depth(tmp_path: Path) -> None:
    loss = {"class_path": "distill.losses.KDLoss", "init_args": {"temperature": 2.0}}
    inputs = {"student": "student.logits", "teacher": "student.logits"}
    term = {"loss": loss, "weight": 0.5, "inputs": inputs}
    deep = {"recipe": "digits/student", "overrides": {"model.losses.self": term}}
    path = write(tmp_path / "bench.yaml", variants={"deep": deep})
    assert read_bench(path).variants["deep"].overrides == {"model.losses.self": term}
    flat = {"recipe": "digits/student", "overrides": "trainer.max_epochs=1"}
    path = write(tmp_path / "bench.yaml", variants={"flat": flat})
    message = r"bench\.yaml\.variants\.flat\.overrides: needs dotted\.key: value, got 'trainer"
    with pytest.raises(RecipeError, match=message):
        read_bench(path)


def test_two_benches_do_not_share_a_directory(finished: Path) -> None:
    with lock_run_dir(finished / "out"), pytest.raises(RecipeError, match="is in use by process"):
        bench(finished / "bench.yaml", finished / "out", QUIET)


@pytest.mark.parametrize("place", ["teacher", "kd/seed1"])
def test_a_run_that_was_trained_by_itself_is_never_touched(place: str, tmp_path: Path) -> None:
    own = tmp_path / "out" / place
    (own / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "result.json", "checkpoints/last.ckpt"):
        (own / name).write_text("mine")
    with pytest.raises(RecipeError, match=f"{place}: contains a run started by `distill fit`"):
        bench(write(tmp_path / "bench.yaml"), tmp_path / "out", QUIET)
    assert (own / "checkpoints" / "last.ckpt").read_text() == "mine"


def test_what_the_command_trusts_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "recipe": "digits/student",
        "overrides": {"model.student": "tests.fixtures.networks.tiny"},
    }
    path = write(tmp_path / "bench.yaml", teacher=None, methods=[], variants={"own": own})
    with pytest.raises(RecipeError, match="outside the trusted packages"):
        bench(path, tmp_path / "out", QUIET)

    def train(run: RepeatableRun) -> dict[str, Any]:
        raise RuntimeError(f"trusts {run.trusted}")

    monkeypatch.setattr(RepeatableRun, "train", train)
    with pytest.raises(SystemExit, match="4 of 4 runs failed"):
        main(["bench", str(path), "--out", str(tmp_path / "out"), "--trust", "tests"])
    error = (tmp_path / "out" / "own" / "seed0" / "error.txt").read_text()
    assert "trusts ('tests',)" in error


def test_a_budget_in_which_nothing_is_validated_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.yaml", overrides={"trainer.max_epochs": 5})
    told = "check_val_every_n_epoch: is 10, so 5 epochs would never be validated"
    with pytest.raises(RecipeError, match=told):
        bench(path, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_another_teacher_leaves_the_student_alone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what learns from the teacher is run again."""
    trained = []

    def train(run: RepeatableRun) -> dict[str, Any]:
        if run.result() is None:
            trained.append(run.run_dir.parent.name)
        return json.loads((run.run_dir / "result.json").read_text())

    monkeypatch.setattr(RepeatableRun, "train", train)
    shutil.copytree(finished / "out", tmp_path / "out")
    other = {"trainer.max_epochs": 2, "data.train_samples": 128}
    bench(write(tmp_path / "bench.yaml", teacher_overrides=other), tmp_path / "out", QUIET)
    assert trained == ["out", "kd", "kd"]


def test_at_least_one_run_at_once(finished: Path) -> None:
    with pytest.raises(RecipeError, match="--jobs: must be at least 1, got 0"):
        bench(finished / "bench.yaml", finished / "out", QUIET, jobs=0)


def test_a_variant_is_a_recipe_with_changes_of_its_own(tmp_path: Path) -> None:
    student = {
        "class_path": "students.resnet14",
        "init_args": {"num_classes": 10, "in_channels": 1},
    }
    overrides = {"model.student": student, "data.augment": [], "model.losses.ce.weight": 0.5}
    variants = {
        "deeper": {"recipe": "digits/student", "overrides": overrides},
        "deeper_long": {
            "recipe": "digits/student",
            "overrides": overrides | {"trainer.max_epochs": 2},
            "against": "deeper",
        },
    }
    path = write(tmp_path / "bench.yaml", teacher=None, methods=[], seeds=[0], variants=variants)
    rows = bench(path, tmp_path / "out", QUIET)
    deeper = sum(p.numel() for p in resnet14(num_classes=10, in_channels=1).parameters())
    compared = {row["method"]: row["against"] for row in rows}
    assert compared == {"student": "", "deeper": "student", "deeper_long": "deeper"}
    for name, epochs in (("deeper", 1), ("deeper_long", 2)):
        result = json.loads((tmp_path / "out" / name / "seed0" / "result.json").read_text())
        assert (result["student"]["parameters"], result["epochs"]) == (deeper, epochs)
        config = read(tmp_path / "out" / name / "seed0" / "config.yaml")
        assert config["data"]["init_args"]["augment"] == []


@pytest.mark.slow
def test_overrides_of_the_command_reach_every_run_and_the_teacher(tmp_path: Path) -> None:
    path, out = write(tmp_path / "bench.yaml", seeds=[0]), tmp_path / "out"
    bench(path, out, QUIET, ["data.batch_size=25"])
    for run in ("teacher", "student/seed0", "kd/seed0"):
        assert read(out / run / "config.yaml")["data"]["init_args"]["batch_size"] == 25


WRONG = {
    "unknown key": ({"seed": [0]}, "no argument 'seed', did you mean 'seeds'"),
    "seed as text": ({"seeds": ["0"]}, "seeds: needs a list, each a whole number"),
    "seed twice": ({"seeds": [1, 1]}, "no seed twice"),
    "no methods": ({"methods": []}, "at least one method"),
    "methods as text": ({"methods": "digits/kd"}, "methods"),
    "the same name": ({"methods": ["digits/kd", "cifar10/kd"]}, "have the same name"),
    "variant key": ({"variants": {"a": {"recipes": "x/y"}}}, "a.recipes.*did you mean 'recipe'"),
    "variant without recipe": ({"variants": {"a": {}}}, r"variants\.a\.recipe: Variant needs it"),
    "against nobody": (
        {"variants": {"a": {"recipe": "digits/kd", "against": "kdd"}}},
        r"variants\.a\.against: no method 'kdd', did you mean 'kd'",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_bench_names_the_key(case: tuple[dict[str, object], str], tmp_path: Path) -> None:
    changes, message = case
    with pytest.raises(RecipeError, match=message):
        read_bench(write(tmp_path / "bench.yaml", **changes))


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.yaml", teacher=None, baseline="digits/studnet")
    with pytest.raises(RecipeError, match="did you mean 'digits/student'"):
        bench(path, tmp_path / "out", QUIET)
