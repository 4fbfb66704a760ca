"""Rules of the code base that no other tool checks."""

import inspect
import re
import sys
from pathlib import Path

import pytest
from torch import nn

import distill.losses
import students
import teachers

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for name in ("distill", "teachers", "students") for path in (ROOT / name).rglob("*.py")
]
LOSSES = [
    name
    for name in distill.losses.__all__
    if inspect.isclass(value := getattr(distill.losses, name)) and issubclass(value, nn.Module)
]
# The paper's combination of the two stands in the recipes.
PARTS = {"RKDDistanceLoss": "RKDLoss", "RKDAngleLoss": "RKDLoss"}
# Boxes and label maps: the data modules give class numbers, so no recipe can use them.
NOT_OF_CLASSES = {"IoULoss", "GIoULoss", "DIoULoss", "CIoULoss", "DiceLoss", "LovaszLoss"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_names_its_paper(name: str) -> None:
    module = sys.modules[getattr(distill.losses, name).__module__]
    # A doi for the paper that is not on arXiv.
    assert re.search(r"arXiv \d{4}\.\d{4,5}|doi 10\.\d{4}/\S+", module.__doc__ or "")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_answers_the_questionnaire(name: str) -> None:
    module = sys.modules[getattr(distill.losses, name).__module__]
    family, method = module.__name__.split(".")[-2:]
    test = ROOT / "tests" / "losses" / family / f"test_{method}.py"
    assert re.search(rf"^class Test{name}\(\w*Contract\)", test.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NOT_OF_CLASSES])
def test_a_loss_has_a_recipe(name: str) -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "recipes").rglob("*.yaml"))
    assert f"distill.losses.{PARTS.get(name, name)}" in written


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_a_function_of_the_same_file(name: str) -> None:
    module = sys.modules[getattr(distill.losses, name).__module__]
    functions = [f for f in distill.losses.__all__ if inspect.isfunction(getattr(module, f, None))]
    assert functions


@pytest.mark.parametrize("package", [distill.losses, students, teachers])
def test_what_is_listed_is_there(package: object) -> None:
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda p: p.stem)
def test_a_recipe_tells_how_to_run_it_and_what_comes_out(path: Path) -> None:
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    name = f"{path.parent.name}/{path.stem}"
    assert any(line.startswith(f"# distill fit {name} ") for line in header)
    assert any("Published: " in line and "Ours: " in line for line in header)
    assert "@@" not in path.read_text()
