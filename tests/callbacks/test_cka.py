import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from distill import runs
from distill.core.errors import RecipeError
from distill.metrics import LinearCKA
from distill.recipes.build import build
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import assert_same, final_state

PAIRS = {
    "conv": ["student@conv", "teacher@conv"],
    "before the in-place ReLU": ["student@relu:input", "student@conv"],
    "itself": ["student@fc", "student@fc"],
}


def recipe(pairs: dict[str, list[str]]) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"]["callbacks"] = [
        {"class_path": "distill.callbacks.CKA", "init_args": {"pairs": pairs}}
    ]
    return tree


def fit(tree: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))


def expected(run_dir: Path) -> dict[str, float]:
    """The similarities of the saved networks, their layers called one by one."""
    built = build(recipe(PAIRS), str(run_dir), ("tests",))
    built.data.setup("fit")
    student, teacher = built.model.student.eval(), built.model.teacher
    student.load_state_dict(load_file(run_dir / "student.safetensors"))
    mean, std = built.data.mean[0], built.data.std[0]
    metrics = {name: LinearCKA() for name in PAIRS}
    with torch.no_grad():
        for batch in built.data.val_dataloader():
            image = (batch.image / 255 - mean) / std
            maps = student.conv(image)
            metrics["conv"].update(maps, teacher.conv(image))
            metrics["before the in-place ReLU"].update(student.bn(maps), maps)
            metrics["itself"].update(maps, maps)
    return {name: metric.compute().item() for name, metric in metrics.items()}


def test_the_result_is_the_similarity_of_the_saved_networks(tmp_path: Path) -> None:
    found = fit(recipe(PAIRS), tmp_path / "run")["diagnostics"]["cka"]
    # Features are float32; what follows is float64.
    assert found == pytest.approx(expected(tmp_path / "run"), abs=1e-5)
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "val/cka/conv" in header


def test_training_goes_on_as_without_cka_and_gradient_cosine(tmp_path: Path) -> None:
    tree = recipe(PAIRS)
    cosine = {"class_path": "distill.callbacks.GradientCosine", "init_args": {"task": "ce"}}
    tree["trainer"]["callbacks"].append(cosine)
    result = fit(tree, tmp_path / "with")
    assert {"cka", "gradient_cosine"} <= set(result["diagnostics"])
    fit(copy.deepcopy(RECIPE), tmp_path / "without")
    assert_same(final_state(tmp_path / "with"), final_state(tmp_path / "without"))


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["student@convv", "teacher@conv"], r"CKA\.pairs: student: no layer 'convv'.*'conv'"),
        (["student.logits", "teacher@conv"], "needs student@PATH or teacher@PATH"),
        (["student@conv"], r"pairs\.stage must be two places"),
    ],
)
def test_wrong_places_are_named_before_training(
    places: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        fit(recipe({"stage": places}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_pair_with_the_teacher_needs_one(tmp_path: Path) -> None:
    tree = recipe({"stage": ["student@conv", "teacher@conv"]})
    arguments = tree["model"]["init_args"]
    arguments["teacher"] = None
    arguments["losses"] = {"ce": arguments["losses"]["ce"]}
    with pytest.raises(RecipeError, match="there is no teacher"):
        fit(tree, tmp_path / "run")
