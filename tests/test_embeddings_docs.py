"""The recipe of docs/embeddings.md trains, with small networks in place of large ones."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from rich.console import Console
from torch import nn

from distill import recipes, runs
from distill.recipes.check import Walk
from students import headless, resnet8
from tests.fixtures.images import folder, picture

PAGE = Path(__file__).parents[1] / "docs" / "embeddings.md"
TEXT = PAGE.read_text()
DATA, MODEL, SEVERAL, TUNED = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
]


def small(tree: Any) -> Any:
    """A model of timm's of the same kind that needs no file and no large images."""
    if isinstance(tree, dict) and str(tree.get("class_path")) == "teachers.timm_model":
        changed = {"name": "test_vit", "img_size": 32, "patch_size": 8, "pretrained": False}
        kept = {key: value for key, value in tree["init_args"].items() if key != "checkpoint"}
        return {"class_path": tree["class_path"], "init_args": kept | changed}
    if isinstance(tree, dict):
        return {key: small(value) for key, value in tree.items()}
    return [small(value) for value in tree] if isinstance(tree, list) else tree


def recipe(tmp_path: Path, model: dict[str, Any]) -> dict[str, Any]:
    more = tmp_path / "more" / "deep"
    more.mkdir(parents=True)
    for seed in range(8):
        Image.fromarray(picture(seed)).save(more / f"{seed}.png")
    data = json.loads(json.dumps(DATA["data"]))
    arguments = data["init_args"]
    arguments["train"] = str(tmp_path / "more")
    arguments["images"]["init_args"] |= {
        "train": folder(tmp_path / "labelled"),
        "image_size": 32,
        "batch_size": 4,
    }
    tree = recipes.load(recipes.find("digits/embed"))
    tree["model"]["init_args"] |= json.loads(json.dumps(model).replace("384", "64"))
    recipes.put(tree, "trainer.max_epochs", 1)
    return tree | {"data": data}


def test_the_recipe_of_the_page_trains(tmp_path: Path) -> None:
    tree = recipe(tmp_path, small(MODEL["model"]))
    result = runs.fit(tree, tmp_path / "run", console=Console(quiet=True))
    assert result["dataset"]["images"] == {"train": 8, "bank": 24, "val": 6}
    assert result["steps"] == 2
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    wanted = {f"train/loss/{name}" for name in ("cosine", "patches", "rkd")}
    assert wanted | {"val/knn", "val/linear"} <= set(header)


def test_several_teachers_are_built_as_the_page_says(tmp_path: Path) -> None:
    model = small(MODEL["model"] | SEVERAL)
    model["losses"] = {"cosine": model["losses"]["cosine"]}
    model["losses"]["cosine"]["inputs"]["teacher"] = "teacher@members.1"
    result = runs.fit(recipe(tmp_path, model), tmp_path / "run", console=Console(quiet=True))
    assert result["teacher"]["class"] == "Embeddings"


def test_the_classes_of_large_teachers_are_as_written() -> None:
    for spec in (MODEL["model"]["teacher"], SEVERAL["teacher"], TUNED["student"]):
        Walk(("teachers", "students")).visit("model", spec, nn.Module)


def test_what_is_fine_tuned_is_that_of_the_recipe() -> None:
    tree = recipes.load(recipes.find("digits/embed_fine_tune"))
    assert tree["model"]["init_args"]["student"] == TUNED["student"]
    left = set(resnet8(10).state_dict()) - set(headless(resnet8(10)).state_dict())
    assert {name.split(".")[0] for name in left} == set(TUNED["student"]["init_args"]["leave_out"])


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target
