import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from distill import run
from distill.build import build
from distill.errors import RecipeError
from distill.metrics import linear_cka
from tests.test_resume import RECIPE, assert_same, final_state

PAIRS = {
    "conv": ["student@conv", "teacher@conv"],
    "before the in-place ReLU": ["student@relu:input", "student@bn"],
    "itself": ["student@fc", "student@fc"],
}


def recipe(pairs: dict[str, list[str]]) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"]["callbacks"] = [
        {"class_path": "distill.callbacks.CKA", "init_args": {"pairs": pairs}}
    ]
    return tree


def fit(tree: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    return run.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))


def features(run_dir: Path) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The first convolution's output on the validation batches, by calling it directly."""
    built = build(recipe(PAIRS), str(run_dir), ("tests",))
    built.data.setup("fit")
    model = built.model
    model.student.load_state_dict(load_file(run_dir / "student.safetensors"))
    mean, std = built.data.mean[0], built.data.std[0]
    images = [(batch.image / 255 - mean) / std for batch in built.data.val_dataloader()]
    with torch.no_grad():
        both = [[net.conv(x) for x in images] for net in (model.student, model.teacher)]
    return both[0], both[1]


def test_the_result_is_the_similarity_of_the_saved_networks(tmp_path: Path) -> None:
    found = fit(recipe(PAIRS), tmp_path / "run")["diagnostics"]["cka"]
    assert found["itself"] == pytest.approx(1, abs=1e-9)
    # Equal only if what the in-place ReLU overwrites was copied.
    assert found["before the in-place ReLU"] == pytest.approx(1, abs=1e-9)
    student, teacher = features(tmp_path / "run")
    by_batch = [linear_cka(*pair).item() for pair in zip(student, teacher, strict=True)]
    assert min(by_batch) < found["conv"] < max(by_batch)
    # 256 of the 270 images are in the first batch.
    assert found["conv"] == pytest.approx(by_batch[0], abs=0.02)
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "val/cka/conv" in header


def test_training_goes_on_as_without_it(tmp_path: Path) -> None:
    fit(recipe(PAIRS), tmp_path / "with")
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
