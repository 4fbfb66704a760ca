"""Searches whose designs inherit their weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import distill
from distill import recipes
from distill.core.errors import RecipeError
from distill.data import Digits
from distill.modules import recalibrate
from distill.recipes import Recipe
from distill.search.inheritance import Heirs, supernet_recipe
from distill.search.runner import Machine, make_plan, search
from students import from_architecture
from tests.fixtures.searches import inherited, table, write

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    search(write(folder, **inherited()), folder / "out", QUIET)
    return folder


def accuracy(network: torch.nn.Module, student: Any, data: Digits) -> float:
    right = [
        network(student.normalization(batch.image)).argmax(1) == batch.target
        for batch in data.val_dataloader()
    ]
    return 100 * torch.cat(right).float().mean().item()


def data() -> Digits:
    """As in the supernet's recipe, whose run has seed 0."""
    found = Digits(train_samples=100, batch_size=50)
    found.setup("fit")
    return found


def test_a_value_is_that_of_the_part_with_its_own_batch_norms(finished: Path) -> None:
    plan = make_plan(finished / "search.yaml", finished / "out", [], 0)
    student = distill.load_student(finished / "out" / "supernet")
    images = [student.normalization(batch.image) for batch in data().train_dataloader()]
    rows = table(finished / "out" / "results.csv")
    assert [row["state"] for row in rows] == ["finished"] * 4
    for row in rows:
        space = plan.space.designs
        design = [
            [str(value) for value in values].index(row[name])
            for name, values in space.decisions.items()
        ]
        student.network.choose(space.architecture(design))
        network = student.network.extract()
        recalibrate(network, images)  # 60 images are the first two batches of 50, which is all
        assert float(row["value"]) == pytest.approx(accuracy(network, student, data()), abs=1e-4)
        assert int(row["parameters"]) == sum(p.numel() for p in network.parameters()) <= 700


def test_the_best_design_is_left_with_its_weights(finished: Path) -> None:
    rows, out = table(finished / "out" / "results.csv"), finished / "out"
    recipe = Recipe(recipes.load(out / "best.yaml"))
    network = from_architecture(recipe.get("model.student.architecture"), 10, 1).eval()
    network.load_state_dict(load_file(out / "best.safetensors"))
    student = distill.load_student(out / "supernet")
    best = max(float(row["value"]) for row in rows)
    assert accuracy(network, student, data()) == pytest.approx(best, abs=1e-4)


def test_the_supernet_stays_as_it_is(finished: Path) -> None:
    out = finished / "out"
    plan = make_plan(finished / "search.yaml", out, [], 0)
    heirs = Heirs(plan, supernet_recipe(plan), 60)
    heirs.load(out / "supernet")
    student = heirs._module.student
    before = {name: value.clone() for name, value in student.state_dict().items()}
    heirs.value([0] * len(plan.space.decisions))
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(finished: Path) -> None:
    out = finished / "out"
    names = ("results.csv", "pareto.csv", "best.yaml", "best.safetensors", "supernet/result.json")
    kept = {name: (out / name).read_bytes() for name in names}
    search(finished / "search.yaml", out, QUIET)
    assert kept == {name: (out / name).read_bytes() for name in names}


def test_the_supernet_is_the_spaces_with_the_heads_of_the_recipe(finished: Path) -> None:
    config = recipes.load(finished / "out" / "supernet" / "config.yaml")
    student = Recipe(config).get("model.student")
    given = inherited()["space"]["init_args"]
    assert student["class_path"] == "students.elastic_chain"
    assert student["init_args"] == {**given, "num_classes": 10, "in_channels": 1}
    assert json.loads((finished / "out" / "supernet" / "result.json").read_text())["steps"] == 2


BRANCHES = {
    "class_path": "students.spaces.Branches",
    "init_args": {"layers": 2, "width": 4, "ops": ["conv3"], "inputs": 1, "merge": "add"},
}
SEVERAL = inherited()["space"]["init_args"]["stages"][0] | {"op": ["conv", "mbconv"]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": BRANCHES}, "space: Branches has no supernet, as Chain has"),
        pytest.param(
            {"supernet": {"recipe": "digits/student"}},
            "supernet.recipe: needs distill.modules.OnceForAll, has Distillation",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"metric": {"name": "val/top5", "goal": "maximize"}},
            "metric.name: is not measured of designs that inherit: val/top1, val/loss, did you",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "space": {
                    "class_path": "students.spaces.Chain",
                    "init_args": {"stem": 4, "stages": [SEVERAL]},
                }
            },
            "stages.0.op must be one value, as all chains share its weights, got conv, mbconv",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        search(write(tmp_path, **inherited(**changes)), tmp_path / "out", QUIET)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_candidates_that_inherit_are_for_one_machine(tmp_path: Path) -> None:
    path = write(tmp_path, **inherited())
    with pytest.raises(RecipeError, match=r"^--ray: designs that inherit are evaluated here"):
        search(path, tmp_path / "out", QUIET, machine=Machine(ray="local"))
