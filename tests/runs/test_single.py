"""What a run leaves behind, and how it ends when something goes wrong."""

import copy
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
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from distill import runs
from distill.cli import main
from distill.core.errors import Interrupted, NonFiniteError, RecipeError
from distill.core.randomness import fold, uniform
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.runs.directory import resumable
from tests.fixtures.forks import start
from tests.fixtures.networks import tiny
from tests.fixtures.recipes import EMA, RECIPE
from tests.fixtures.runs import QUIET, assert_same, final_state, metrics


class Explodes(nn.Module):
    """A loss that is infinite from its fourth training call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, student: Tensor) -> Tensor:
        self.calls += self.training
        return student.sum() * (float("inf") if self.calls > 3 else 1e-3)


def recipe(**trainer: Any) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= trainer
    return tree


def fit(tree: dict[str, Any], run_dir: Path, **options: Any) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=QUIET, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    fit(recipe(), run_dir, name="digits/test")
    return run_dir


def test_the_run_directory_is_complete(finished: Path) -> None:
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "result.json", "student.safetensors"}
    expected |= {"README.md", "preprocess.json"}
    assert expected | {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= files


def test_the_result_tells_what_was_measured(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert result["recipe"] == "digits/test"
    assert (result["seed"], result["epochs"], result["steps"]) == (0, 3, 15)
    assert result["dataset"]["images"] == {"train": 83, "val": 270, "test": 449}
    student = result["student"]
    assert student["parameters"] == sum(p.numel() for p in tiny(8).parameters())
    assert 0 <= student["top1"]["val"]["last"] <= student["top1"]["val"]["best"] <= 100
    assert set(student["top1"]["test"]) == {"last", "best"}
    assert set(result["teacher"]["top1"]) == {"val", "test"}


def test_the_preprocessing_is_that_of_the_student(finished: Path) -> None:
    found = json.loads((finished / "preprocess.json").read_text())
    assert (found["task"], found["resize"]) == ("Classification", "squash")
    assert (found["channels"], found["size"]) == (1, [8, 8])
    result = json.loads((finished / "result.json").read_text())
    assert {"mean": found["mean"], "std": found["std"]} == result["normalization"]
    assert found["classes"] == result["dataset"]["classes"]


def test_the_accuracy_is_the_one_of_the_saved_weights(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    measured = runs.evaluate(finished, trusted=("tests",), console=QUIET)
    assert measured["top1"]["student"] == result["student"]["top1"]["test"]["last"]
    assert measured["top1"]["teacher"] == result["teacher"]["top1"]["test"]["last"]


def test_the_teacher_is_in_no_checkpoint_but_the_connector_is(finished: Path) -> None:
    content = SafeCheckpointIO().load_checkpoint(finished / "checkpoints" / "last.ckpt")
    roots = {name.split(".")[0] for name in content["state_dict"]}
    assert roots == {"student", "losses"}
    names = set(content["state_dict"])
    assert {"losses.overhaul.connector.0.weight", "losses.overhaul.margin"} <= names
    optimized = sum(
        len(group["params"]) for group in content["optimizer_states"][0]["param_groups"]
    )
    connector = 3  # convolution, batch norm weight and bias
    assert optimized == len(list(tiny(8).parameters())) + connector
    saved = set(load_file(finished / "student.safetensors"))
    assert saved == set(tiny(8).state_dict())


def test_metrics_hold_every_step_and_term(finished: Path) -> None:
    with (finished / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == list(range(15))
    for row in rows:
        ce, kd, overhaul = (float(row[f"train/loss/{name}"]) for name in ("ce", "kd", "overhaul"))
        assert float(row["train/loss"]) == pytest.approx(ce + kd + 1e-3 * overhaul, rel=1e-5)


def test_the_config_reproduces_the_run(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    config = str(finished / "config.yaml")
    assert main(["fit", config, "--run_dir", str(again), "--trust", "tests"]) == 0
    ours, theirs = (load_file(d / "student.safetensors") for d in (finished, again))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_second_run_in_the_directory_is_refused(finished: Path) -> None:
    with pytest.raises(RecipeError, match="is not empty: use `distill resume"):
        fit(recipe(), finished)


def test_a_directory_in_use_is_refused_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / ".pid").write_text("4711")
    with FileLock(tmp_path / ".lock"), pytest.raises(RecipeError, match="process 4711"):
        fit(recipe(), tmp_path)
    assert (tmp_path / ".pid").read_text() == "4711"


def test_a_run_in_progress_is_told_with_its_owner_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / ".pid").write_text("4711")
    with FileLock(tmp_path / ".lock"), pytest.raises(RecipeError, match="process 4711"):
        fit(recipe(), tmp_path)


def test_an_infinite_loss_stops_and_names_the_term(tmp_path: Path) -> None:
    tree = recipe()
    losses = tree["model"]["init_args"]["losses"]
    losses["bad"] = {
        "loss": "tests.runs.test_single.Explodes",
        "inputs": {"student": "student.logits"},
    }
    with pytest.raises(NonFiniteError, match="train/loss/bad is not finite at step 3"):
        fit(tree, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))


def test_diverging_weights_stop_before_a_checkpoint_holds_them(tmp_path: Path) -> None:
    tree = recipe()
    tree["model"]["init_args"]["optimizer"]["init_args"]["lr"] = 1e30
    with pytest.raises(NonFiniteError, match="not finite at step"):
        fit(tree, tmp_path / "run")
    for path in (tmp_path / "run").glob("checkpoints/*.ckpt"):
        state = SafeCheckpointIO().load_checkpoint(path)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_infinite_loss_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.yaml"
    tree = recipe()
    tree["model"]["init_args"]["optimizer"]["init_args"]["lr"] = 1e30
    path.write_text(json.dumps(tree))
    assert main(["fit", str(path), "--run_dir", str(tmp_path / "run"), "--trust", "tests"]) == 3
    assert "not finite at step" in capsys.readouterr().err


MOMENTS = {
    "in a step": (6, False),
    "in an epoch's last step": (9, False),
    "in validation": (10, True),
}


# All signals are handled by the same lines.
FAST = {*(f"SIGTERM-{told}" for told in MOMENTS), "SIGINT-in a step"}
EACH = [
    pytest.param(
        name,
        moment,
        id=f"{name}-{told}",
        marks=[]
        if name == "SIGTERM" or (name, told) == ("SIGINT", "in a step")
        else pytest.mark.slow,
    )
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
    for told, moment in MOMENTS.items()
]


@pytest.mark.parametrize(("name", "moment"), EACH)
def test_a_signal_saves_a_checkpoint_and_the_run_resumes_bitwise(
    name: str, moment: tuple[int, bool], tmp_path: Path
) -> None:
    step, in_validation = moment
    sender = {"signum": int(getattr(signal, name)), "step": step, "in_validation": in_validation}
    callback = {"class_path": "tests.fixtures.runs.SendSignal", "init_args": sender}
    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(Interrupted, match=f"{name}: saved .*distill resume") as caught:
        fit(recipe(callbacks=[EMA, callback]), tmp_path / "run")
    assert caught.value.signum == getattr(signal, name)
    assert signal.getsignal(getattr(signal, name)) == before
    content = SafeCheckpointIO().load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert content["global_step"] == (7 if step == 6 else 10)
    assert not (tmp_path / "run" / "result.json").exists()
    fit(recipe(callbacks=[EMA]), tmp_path / "run", resume=True)
    fit(recipe(callbacks=[EMA]), tmp_path / "whole")
    assert_same(final_state(tmp_path / "whole"), final_state(tmp_path / "run"))
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    sender = {"signum": int(signal.SIGHUP), "step": 6}
    callback = {"class_path": "tests.fixtures.runs.SendSignal", "init_args": sender}
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = fit(recipe(callbacks=[callback]), tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, former)
    assert result["steps"] == 15


def test_a_run_killed_after_its_last_step_leaves_the_same_weights_and_results(
    tmp_path: Path,
) -> None:
    tree, whole = recipe(callbacks=[EMA]), tmp_path / "whole"
    expected = fit(tree, whole)
    killed = Path(shutil.copytree(whole, tmp_path / "killed"))
    for name in ("result.json", "student.safetensors", "validation.safetensors"):
        (killed / name).unlink()
    found = fit(tree, killed, resume=True)
    for key in ("epochs", "steps", "diagnostics"):
        assert found[key] == expected[key]
    assert found["student"]["top1"] == expected["student"]["top1"]
    for name in ("student.safetensors", "validation.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert metrics(killed) == metrics(whole)


@pytest.mark.slow
def test_runs_killed_at_random_fifty_times_end_bitwise_the_same(tmp_path: Path) -> None:
    tree, whole = recipe(callbacks=[EMA]), tmp_path / "whole"
    begun = time.monotonic()
    fit(tree, whole)
    seconds = time.monotonic() - begun
    resumed = 0
    moments = uniform(fold(0, "kill a run"), torch.arange(50)).flatten().tolist()
    for number, moment in enumerate(moments):
        run_dir = tmp_path / str(number)
        child = start(fit, tree, run_dir)
        child.join(moment * seconds)
        child.kill()
        child.join()
        if resumable(run_dir):
            resumed += 1
            fit(tree, run_dir, resume=True)
        else:  # killed before anything was saved
            shutil.rmtree(run_dir, ignore_errors=True)
            fit(tree, run_dir)
        assert_same(final_state(whole), final_state(run_dir), f"killed after {moment:.2f}")
        assert metrics(run_dir) == metrics(whole), f"killed after {moment:.2f}"
    assert resumed >= 10


def test_a_second_sigint_stops_at_once(tmp_path: Path) -> None:
    sender = {
        "class_path": "tests.fixtures.runs.SendSignal",
        "init_args": {"signum": 2, "step": 6},
    }
    with pytest.raises(Interrupted, match="SIGINT: stopped at once") as caught:
        fit(recipe(callbacks=[sender, sender]), tmp_path / "run")
    assert caught.value.signum == signal.SIGINT


def test_the_command_exits_with_143_after_sigterm(tmp_path: Path) -> None:
    path, stopped = tmp_path / "recipe.yaml", tmp_path / "stopped"
    path.write_text(json.dumps(recipe(max_epochs=1000)))
    command = [sys.executable, "-m", "distill", "fit", str(path), "--trust", "tests"]
    process = subprocess.Popen(
        [*command, "--run_dir", str(stopped)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not (stopped / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "SIGTERM: saved" in message


def test_resume_needs_a_valid_checkpoint(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    fit(recipe(max_epochs=1), run_dir)
    for path in run_dir.glob("checkpoints/*.ckpt"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecipeError, match=r"no valid checkpoint to resume from; damaged: .*\.ckpt"):
        fit(recipe(), run_dir, resume=True)


def test_resume_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(tmp_path)]) == 2
    assert "not a run directory" in capsys.readouterr().err


def test_testing_needs_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(tmp_path)]) == 2
    assert "not the directory of a finished run" in capsys.readouterr().err


def test_damaged_weights_are_named(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "damaged"))
    weights = folder / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(RecipeError, match=r"student\.safetensors: is damaged"):
        runs.evaluate(folder, trusted=("tests",), console=QUIET)


def image_folder(root: Path, classes: list[str], size: int = 8, n: int = 6) -> Path:
    for shade, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(n):
            image = Image.new("L", (size, size), 40 * shade + number)
            image.save(root / name / f"{number}.png")
    return root


def images_recipe(folder: Path) -> dict[str, Any]:
    tree = recipe(max_epochs=1)
    tree["data"] = {
        "class_path": "distill.data.Images",
        "init_args": {
            "train": str(folder),
            "val": 0.25,
            "batch_size": 4,
            "mean": [0.5],
            "std": [1],
        },
    }
    for network in ("student", "teacher"):
        tree["model"]["init_args"][network]["init_args"]["num_classes"] = 3
    return tree


def test_a_run_on_a_folder_is_tested_on_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = image_folder(tmp_path / "train", ["a", "b", "c"])
    fit(images_recipe(folder), tmp_path / "run")
    other = image_folder(tmp_path / "other", ["a", "b", "c"], n=2)
    arguments = ["test", str(tmp_path / "run"), "--trust", "tests"]
    assert main([*arguments, f"--data.test={other}"]) == 0
    assert "of 6 images" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "test.json").read_text())["images"] == 6
    wrong = image_folder(tmp_path / "wrong", ["a", "b", "d"], n=2)
    assert main([*arguments, f"--data.test={wrong}"]) == 2
    assert "not in both: c, d" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "data.test" in capsys.readouterr().err


def test_partly_labelled_images_and_a_callback_of_ones_own_are_tested_too(tmp_path: Path) -> None:
    """The callbacks were for training: a checkpoint of the recipe's own is not asked for."""
    tree = images_recipe(image_folder(tmp_path / "train", ["a", "b", "c"]))
    images = tree["data"]
    tree["data"] = {
        "class_path": "distill.data.PartlyLabelled",
        "init_args": {"images": images, "labels": 0.5},
    }
    tree["trainer"]["callbacks"] = [
        {
            "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
            "init_args": {"dirpath": str(tmp_path / "mine")},
        }
    ]
    fit(tree, tmp_path / "run")
    other = image_folder(tmp_path / "other", ["a", "b", "c"], n=2)
    measured = runs.evaluate(tmp_path / "run", str(other), ("tests",), QUIET)
    assert measured["images"] == 6


def test_a_damaged_image_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "train", ["a", "b", "c"])
    (folder / "b" / "3.png").write_bytes(b"\x89PNG not an image")
    with pytest.raises(RecipeError, match=r"data: cannot read image .*b/3\.png"):
        fit(images_recipe(folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()
