"""docs/compression.md is run."""

import re
import runpy
from pathlib import Path

import pytest
import torch
import yaml

from distill import recipes
from distill.core.class_paths import resolve
from distill.core.initial_weights import wrapped
from distill.core.trust import TRUSTED
from distill.core.walk import Walk
from distill.recipes import Recipe
from distill.recipes.stages import stages

TEXT = (Path(__file__).parents[1] / "docs" / "compression.md").read_text()
NET = {"class_path": "students.resnet8", "init_args": {"num_classes": 10}}


def snippets(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_python_snippet_runs(tmp_path: Path) -> None:
    (code,) = snippets("python")
    (tmp_path / "snippet.py").write_text(code)
    logits = runpy.run_path(str(tmp_path / "snippet.py"))["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 10)


def test_the_pieces_of_recipes_are_right() -> None:
    student, staged = (yaml.safe_load(text) for text in snippets("yaml"))
    Walk(TRUSTED).visit("student", student["student"], torch.nn.Module)
    model = {"class_path": "distill.modules.Distillation", "init_args": {"student": NET}}
    model["init_args"]["optimizer"] = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    *_, last = stages(Recipe({"model": model, **staged})).values()
    assert last.get("model.student.model.flops") == 0.5
    Walk(TRUSTED).visit("student", last.get("model.student"), torch.nn.Module)


@pytest.mark.parametrize("name", ["quantized", "pruned"])
def test_what_wraps_a_student_takes_it_as_its_model(name: str) -> None:
    target = resolve("wrap", f"distill.compress.{name}", TRUSTED)
    Walk(TRUSTED).arguments(
        "wrap", target, wrapped(f"distill.compress.{name}", NET)["init_args"], complete=False
    )


def test_every_recipe_that_is_listed_names_what_it_is_listed_for() -> None:
    listed = re.findall(r"recipes/(digits/\w+)\.yaml", TEXT)
    assert len(listed) == 8
    for name in listed:
        text = recipes.find(name).read_text()
        assert "distill.compress." in text or "distill.callbacks.Sparsify" in text, name
