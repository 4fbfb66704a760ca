"""The recipes for images without labels, with an untrained teacher: they run as written."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distill import recipes
from distill.cli import main
from distill.recipes import Recipe
from distill.recipes.build import build
from distill.recipes.stages import check_stages
from distill.runs.directory import write_config


@pytest.mark.parametrize("name", ["ssld_pipeline", "ssld_semi"])
def test_the_recipes_are_sound(name: str) -> None:
    check_stages(Recipe(recipes.load(recipes.find(f"digits/{name}"))))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, with what `distill fit digits/teacher` would leave, but for training."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "digits" / "teacher"
    folder.mkdir(parents=True)
    built = build(recipes.load(recipes.find("digits/teacher")), str(folder))
    write_config(folder, built.config, "")
    weights = built.model.student.state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "student.safetensors")
    (folder / "result.json").write_text("{}")


def result(run_dir: str) -> dict:
    return json.loads((Path(run_dir) / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_the_pipeline_selects_trains_on_the_union_and_fine_tunes() -> None:
    assert main(["ssld", "digits/ssld_pipeline", "--top_k", "60", "--bits", "2"]) == 0
    selected = json.loads(Path("runs/digits/ssld/select.json").read_text())["images"]
    assert 0 < selected < 970
    epochs = ["--trainer.max_epochs=1", "--stages.fine_tune.trainer.max_epochs=1"]
    arguments = ["fit", "digits/ssld_pipeline", "--run_dir", "run", *epochs]
    assert main(arguments) == 0
    union, tuned = (result(f"run/stages/{stage}") for stage in ("union", "fine_tune"))
    assert union["dataset"]["images"]["train"] == 108 + selected
    assert tuned["dataset"]["images"]["train"] == 108
    assert (union["steps"], tuned["steps"]) == ((108 + selected) // 50, 2)
    weights = [load_file(f"{run}/student.safetensors") for run in ("run/stages/union", "run")]
    # A step of a rate of 5e-4 moves a weight by little: the second stage went on from the first.
    gap = max(float((weights[0][k] - weights[1][k]).abs().max()) for k in ("fc.weight", "fc.bias"))
    assert 0 < gap < 0.02


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_the_semi_supervised_recipe_trains_on_both_kinds() -> None:
    changes = ["--trainer.max_epochs=2", "--run_dir", "run"]
    assert main(["fit", "digits/ssld_semi", *changes]) == 0
    found = result("run")
    assert found["dataset"]["images"]["train"] == 108
    assert found["steps"] == 2 * (108 // 36)
    state = load_file("run/student.safetensors")
    assert all(torch.isfinite(value).all() for value in state.values())
