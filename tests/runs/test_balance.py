"""Terms that outweigh the labels are told, with the ratio."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import nn

from distill import recipes, runs
from distill.modules import Term
from distill.runs.balance import out_of_balance
from distill.wiring.term import PlacedTerm


def placed(**inputs: str | list[str]) -> PlacedTerm:
    return PlacedTerm("model.losses.x", Term(nn.Identity(), inputs=inputs))


TERMS = {
    "ce": placed(input="student.logits", target="batch.target"),
    "focal": placed(input="student.classes[positive]", count="assigned.count"),
    "kd": placed(student="student.logits", teacher="teacher.logits"),
    "fgd": placed(student="student@neck", teacher="teacher@neck", boxes="batch.boxes"),
    "crd": placed(student="student@a", teacher="teacher@a", index="batch.index"),
    "own": placed(input="student.logits", index="batch.index"),
}


def test_terms_that_read_a_teacher_are_compared_with_those_of_labels_alone() -> None:
    sums = {"ce": 1.0, "focal": 1.0, "kd": 19.0, "fgd": 21.0, "crd": 42.0, "own": 60.0}
    assert out_of_balance(TERMS, sums) == {"fgd": 10.5, "crd": 21.0, "own": 30.0}
    assert out_of_balance(TERMS, {"kd": 5.0}) == {}
    assert out_of_balance(TERMS, {"ce": 30.0, "focal": 1.0}) == {}


def trained(tmp_path: Path, name: str, **changes: Any) -> str:
    tree = recipes.load(recipes.find("digits/kd"))
    twin = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
    tree["model"]["init_args"]["teacher"] = twin
    small = {"data.train_samples": 84, "data.batch_size": 4, "trainer.max_epochs": 1}
    small |= {"model.optimizer.lr": 1e-6}
    for key, value in (small | changes).items():
        recipes.put(tree, key, value)
    text = io.StringIO()
    runs.fit(tree, tmp_path / name, console=Console(file=text, width=200))
    return text.getvalue()


@pytest.mark.parametrize(("weight", "told"), [(1000.0, 1), (1.0, 0)])
def test_a_run_tells_it_once(weight: float, told: int, tmp_path: Path) -> None:
    text = trained(tmp_path, "run", **{"model.losses.kd.weight": weight})
    lines = [line for line in text.splitlines() if "the terms of labels" in line]
    assert len(lines) == told
    for line in lines:
        assert line.startswith("note     model.losses.kd was ")
        assert int(line.split(" was ")[1].split(" ")[0]) > 100
        assert line.endswith("in the first 20 steps: is its weight too high?")


def test_a_short_run_is_not_judged(tmp_path: Path) -> None:
    changes = {"model.losses.kd.weight": 1000.0, "trainer.max_steps": 5}
    assert "the terms of labels" not in trained(tmp_path, "run", **changes)
