import csv
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import distill
from distill import recipes
from distill.core.errors import Interrupted, RecipeError
from distill.core.stopping import SIGNALS
from distill.recipes import Recipe
from distill.tools.fit import Fitted
from tests.fixtures.networks import tiny

SMALL = {"trainer.max_epochs": 2, "trainer.check_val_every_n_epoch": 1}
SMALLEST = SMALL | {"trainer.max_epochs": 1, "data.train_samples": 50}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return distill.fit("digits/student", run_dir=run_dir, overrides=SMALL)


class Interrupts(pl.Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_the_result_is_that_of_the_run(fitted: Fitted) -> None:
    result = json.loads((fitted.run_dir / "result.json").read_text())
    scores = result["student"]["top1"]
    assert fitted.metrics == {
        "val/top1": scores["val"]["last"],
        "val/top1/best": scores["val"]["best"],
        "test/top1": scores["test"]["last"],
        "test/top1/best": scores["test"]["best"],
    }
    assert result["recipe"] == "digits/student"
    assert not fitted.student.training


def test_it_is_what_the_command_line_trains(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.cli import main

    given = [f"--{key}={value}" for key, value in SMALL.items()]
    assert main(["fit", "digits/student", "--run_dir", str(tmp_path / "run"), *given]) == 0
    name = "student.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (fitted.run_dir / name).read_bytes()


def test_the_student_is_as_good_as_it_says(fitted: Fitted) -> None:
    data = distill.data.Digits()  # type: ignore[attr-defined]
    data.setup("test")
    with torch.no_grad():
        hits = [
            (fitted.student(batch.image).argmax(1) == batch.target).float()
            for batch in data.test_dataloader()
        ]
    assert 100 * torch.cat(hits).mean().item() == pytest.approx(fitted.metrics["test/top1"])


def test_curves_are_a_table(fitted: Fitted) -> None:
    table = fitted.to_pandas()
    with (fitted.run_dir / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(table.columns) == list(rows[0])
    logged = [float(row["val/top1"]) for row in rows if row["val/top1"]]
    assert table["val/top1"].dropna().tolist() == logged
    assert len(logged) == 2


def test_without_pandas_a_line_says_so(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RecipeError, match=r"^to_pandas: needs pandas: pip install pandas$"):
        fitted.to_pandas()


def test_a_teacher_is_told_beside_its_student_and_printed_if_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fitted = distill.fit(
        "digits/kd",
        run_dir=tmp_path / "run",
        overrides=SMALLEST,
        model__teacher={
            "class_path": "students.resnet8",
            "init_args": {"num_classes": 10, "in_channels": 1},
        },
        verbose=True,
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for stage in ("val", "test"):
        told = result["teacher"]["top1"][stage]["last"]
        assert fitted.metrics[f"{stage}/top1/teacher"] == told
    assert "epoch 1/1" in capfd.readouterr().out


def test_a_mapping_takes_overrides_of_every_form(tmp_path: Path) -> None:
    fitted = distill.fit(
        recipes.read(recipes.find("digits/student")),
        run_dir=str(tmp_path / "run"),
        overrides={"trainer.max_steps": 1},
        trainer__check_val_every_n_epoch=1,
        **{"data.train_samples": 50, "seed_everything": 3},
    )
    config = recipes.read(fitted.run_dir / "config.yaml")
    assert config["trainer"]["max_steps"] == 1
    assert config["trainer"]["check_val_every_n_epoch"] == 1
    assert config["data"]["init_args"]["train_samples"] == 50
    assert config["seed_everything"] == 3


def test_output_generators_and_handlers_stay_as_they_were(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    random.seed(5)
    before = torch.random.get_rng_state(), random.getstate()
    handlers = [signal.getsignal(signum) for signum in SIGNALS]
    distill.fit("digits/student", run_dir=tmp_path / "run", overrides=SMALLEST)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert [signal.getsignal(signum) for signum in SIGNALS] == handlers


def test_an_interrupted_cell_says_how_to_go_on_and_leaves_no_handler(tmp_path: Path) -> None:
    handlers = [signal.getsignal(signum) for signum in SIGNALS]
    callback = {"class_path": f"{__name__}.Interrupts"}
    with pytest.raises(Interrupted, match=r"SIGINT: saved .* continue with: distill resume"):
        distill.fit(
            "digits/student",
            run_dir=tmp_path / "run",
            overrides={"trainer.callbacks": [callback]},
            trusted=("tests",),
        )
    assert [signal.getsignal(signum) for signum in SIGNALS] == handlers
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_a_run_may_be_in_another_thread(tmp_path: Path) -> None:
    found: list[Fitted] = []

    def train() -> None:
        recipe = Recipe.of("digits/student")
        found.append(distill.fit(recipe, run_dir=tmp_path / "run", overrides=SMALLEST))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found[0].metrics["val/top1"] >= 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"recipe": "digits/kdd"}, "digits/kdd: no such recipe, did you mean 'digits/kd'"),
        ({}, "fit: needs a recipe, or student, losses and data, and maybe teacher"),
        ({"student": nn.Identity()}, "fit: needs a recipe, or student, losses and data"),
        ({"recipe": "digits/kd", "student": nn.Identity()}, "fit: takes a recipe, or student, "),
        ({"recipe": "digits/student", "trainer__max_epoch": 2}, "trainer.max_epoch: .*max_epochs"),
        ({"recipe": "digits/student", "trainer__max_steps": "2"}, "trainer.max_steps: "),
        (
            {"recipe": {"model": {"student": tiny()}}},
            "model.student: a recipe has plain values, got a TinyNet: give objects as student",
        ),
        (
            {"recipe": "digits/student", "overrides": {"trainer.callbacks": [Interrupts()]}},
            "trainer.callbacks.0: a recipe has plain values, got a Interrupts",
        ),
        ({"recipe": {"data": {}}}, "model: is missing"),
    ],
)
def test_what_is_wrong_is_raised_and_leaves_no_directory(
    arguments: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=f"^{told}"):
        distill.fit(run_dir=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_second_run_does_not_write_over_the_first(fitted: Fitted) -> None:
    with pytest.raises(RecipeError, match="is not empty"):
        distill.fit("digits/student", run_dir=fitted.run_dir)
