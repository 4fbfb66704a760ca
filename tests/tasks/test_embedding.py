"""Embeddings without labels, from a teacher's run to fine-tuning on a few labels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from distill import recipes, runs
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.data import Digits, Unlabelled
from distill.recipes import Recipe
from distill.recipes.build import build
from distill.runs.directory import write_config
from distill.tasks import Embedding
from tests.fixtures.runs import final_state

TASK = Embedding()
QUIET = Console(quiet=True)
SMALL = {"data.images.val": 0.05, "data.images.test": 0.05, "data.images.train_samples": 200}


def leave_untrained(name: str, run_dir: Path) -> None:
    """What a teacher's recipe leaves, but for training."""
    run_dir.mkdir(parents=True)
    torch.manual_seed(0)
    built = build(recipes.load(recipes.find(name)), str(run_dir))
    write_config(run_dir, built.config, "")
    weights = built.model.student.state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, run_dir / "student.safetensors")
    (run_dir / "result.json").write_text('{"normalization": {"mean": [0.3], "std": [0.4]}}')


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with the teachers that the recipes want."""
    monkeypatch.chdir(tmp_path)
    leave_untrained("digits/teacher", Path("runs/digits/teacher"))
    leave_untrained("digits/teacher_resnet20", Path("runs/digits/resnet20"))
    return tmp_path


def recipe(name: str, **changes: Any) -> Recipe:
    found = Recipe(recipes.load(recipes.find(f"digits/{name}")))
    usual = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
    for key, value in (SMALL | usual | changes).items():
        found = found.put(key, value)
    return found


@pytest.mark.usefixtures("here")
@pytest.mark.slow
def test_without_labels_then_fine_tuned_on_a_few() -> None:
    run_dir = Path("runs/digits/embed")
    result = runs.fit(recipe("embed"), run_dir, console=QUIET)
    assert (result["task"], result["metric"], result["goal"]) == ("Embedding", "knn", "maximize")
    assert result["dataset"]["images"] == {"train": 200, "bank": 100, "val": 90, "test": 90}
    for network in ("student", "teacher"):
        assert 20 < result[network]["knn"]["test"]["last"] <= 100
    assert 0 < result["diagnostics"]["embedding_cka"] <= 1
    header = (run_dir / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val/knn", "val/linear", "train/loss/cosine", "train/loss/rkd"} <= set(header)
    assert "val/loss" not in header
    assert (run_dir / "checkpoints" / "best.ckpt").is_file()
    tested = runs.evaluate(run_dir, console=QUIET)
    assert tested["knn"]["student"] == result["student"]["knn"]["test"]["last"]
    no_steps = {"model.optimizer.lr": 1e-12, "data.labels": 0.5}
    tuned = runs.fit(recipe("embed_fine_tune", **no_steps), Path("tuned"), console=QUIET)
    assert (tuned["task"], tuned["metric"]) == ("Classification", "top1")
    before, after = (load_file(d / "student.safetensors") for d in (run_dir, Path("tuned")))
    assert set(after) - set(before) == {"fc.weight", "fc.bias"}
    torch.testing.assert_close(after["conv1.weight"], before["conv1.weight"])


@pytest.mark.usefixtures("here")
def test_each_of_several_teachers_has_an_adaptor() -> None:
    result = runs.fit(recipe("embed_several"), Path("run"), console=QUIET)
    assert result["teacher"]["class"] == "Embeddings"
    header = Path("run/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss/wide", "train/loss/deep"} <= set(header)


@pytest.mark.usefixtures("here")
@pytest.mark.slow
def test_a_cached_teacher_gives_the_same_training() -> None:
    changes = {"trainer.max_epochs": 2, "data.images.views": 1, "data.images.train_samples": 100}
    for place, cache in (("live", None), ("cached", "teacher.sqlite")):
        changed = recipe("embed", **changes, **{"model.cache": cache})
        result = runs.fit(changed, Path(place), console=QUIET)
        computed = result["cache"] and result["cache"]["batches_computed"]
        assert computed == {"live": None, "cached": 2}[place]
    live, cached = (final_state(Path(place)) for place in ("live", "cached"))
    for key, value in live["state_dict"].items():
        torch.testing.assert_close(cached["state_dict"][key], value)


@pytest.mark.usefixtures("here")
def test_a_student_that_gives_no_embedding_is_told_before_training() -> None:
    student = {"class_path": "torch.nn.Identity"}
    with pytest.raises(RecipeError, match=r"^model\.student: needs an embedding \(b, d\), gives"):
        runs.fit(recipe("embed", **{"model.student": student}), Path("run"), console=QUIET)
    assert not Path("run/result.json").exists()


@pytest.mark.usefixtures("here")
def test_a_term_that_reads_logits_or_labels_is_told_what_there_is() -> None:
    key = "model.losses.cosine.inputs.student"
    for source in ("student.logits", "batch.target"):
        with pytest.raises(RecipeError, match=r"unknown source .*known: student\.embedding, "):
            runs.fit(recipe("embed", **{key: source}), Path("run"), console=QUIET)


def test_outputs_and_captions() -> None:
    data = Unlabelled(Digits())
    TASK.check_outputs(torch.zeros(2, 7), data)
    TASK.check_outputs({"embedding": torch.zeros(2, 7), "logits": torch.zeros(2, 3, 4)}, data)
    with pytest.raises(ValueError, match=r"^needs an embedding \(b, d\), gives \(2, 7, 3\)$"):
        TASK.check_outputs(torch.zeros(2, 7, 3), data)
    with pytest.raises(ValueError, match=r"^needs an embedding, gives a dict with logits$"):
        TASK.check_outputs({"logits": torch.zeros(2, 3)}, data)
    assert TASK.caption(torch.tensor(1), ("cat", "dog")) == "dog"
    assert TASK.caption(torch.tensor(-100), ("cat", "dog")) == "no label"


def test_data_without_a_bank_are_told_so() -> None:
    batch = Batch(torch.zeros(2, 1, 2, 2), torch.arange(2), torch.arange(2), 0)
    with pytest.raises(ValueError, match="needs a bank of labelled images"):
        TASK.target(batch)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_what_is_learnt_without_labels_beats_an_untrained_network() -> None:
    """The teacher is untrained in the other tests; here it knows the digits."""
    whole = {"data.train_samples": 400, "trainer.max_epochs": 6}
    teacher = Recipe(recipes.load(recipes.find("digits/teacher")))
    for key, value in whole.items():
        teacher = teacher.put(key, value)
    runs.fit(teacher, Path("teacher"), console=QUIET)
    taught = {"model.teacher.network.run_dir": "teacher", "data.images.train_samples": None}
    found = {}
    for name, lr in (("trained", 3e-3), ("untrained", 1e-12)):
        changes = {"trainer.max_epochs": 4, "model.optimizer.lr": lr} | taught
        found[name] = runs.fit(recipe("embed", **changes), Path(name), console=QUIET)
    scores = {name: result["student"]["knn"]["test"]["last"] for name, result in found.items()}
    assert scores["trained"] > scores["untrained"] + 5
