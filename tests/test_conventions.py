"""Rules of the code base that no other tool checks."""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest
from torch import nn

import distill.losses
import students
import teachers
from distill import recipes

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
# One line of a recipe away from the one that is used there.
NEIGHBOURS = {"IoULoss", "DIoULoss", "CIoULoss", "LovaszLoss"}
# Of maps with places to compare or boxes, which the digits and CIFAR-10 lack.
DENSE = {"FGDLoss", "PairwiseLoss"}
# The functions of those whose module does more than call the one of its name.
FUNCTIONS = {
    "MapAdaptor": ["to_map"],
    "RKDLoss": ["rkd_angle_loss", "rkd_distance_loss"],
    "ReviewKDLoss": ["hcl_loss"],
}


def test_a_file_holds_one_idea() -> None:
    """Some 80 lines for most, and never more than a class of 150 in a file of 300."""
    long = []
    for path in SOURCES:
        text, name = path.read_text(), str(path.relative_to(ROOT))
        lines = len(text.splitlines())
        long += [f"{name}: {lines} lines"] if lines > 300 else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{name}: {node.name} has {lines} lines"] if lines > 150 else []
    assert long == []


def test_a_loss_names_its_paper() -> None:
    """By arXiv id, or by a doi where the paper is not on arXiv."""
    for name in LOSSES:
        module = sys.modules[getattr(distill.losses, name).__module__]
        found = re.search(r"arXiv \d{4}\.\d{4,5}|doi 10\.\d{4}/\S+", module.__doc__ or "")
        assert found, name


def test_a_loss_answers_the_questionnaire() -> None:
    for name in LOSSES:
        module = sys.modules[getattr(distill.losses, name).__module__]
        family, method = module.__name__.split(".")[-2:]
        test = ROOT / "tests" / "losses" / family / f"test_{method}.py"
        found = re.search(rf"^class Test{name}\(\w*Contract\)", test.read_text(), re.MULTILINE)
        assert found, name


def test_a_loss_has_a_recipe() -> None:
    """One that distils has one on the digits and on CIFAR-10; any other one somewhere."""
    written = {name: recipes.find(name).read_text() for name in recipes.names()}
    for name in set(LOSSES) - NEIGHBOURS:
        wanted = rf"\bdistill\.losses\.{PARTS.get(name, name)}\b"
        using = {recipe.split("/")[0] for recipe in written if re.search(wanted, written[recipe])}
        family = getattr(distill.losses, name).__module__.split(".")[2]
        assert using, name
        if name.endswith("Loss") and family != "task":
            assert ({"scenes"} if name in DENSE else {"digits", "cifar10"}) <= using, name


def test_a_loss_is_a_public_function_that_its_module_calls() -> None:
    for name in LOSSES:
        loss = getattr(distill.losses, name)
        for function in FUNCTIONS.get(name, [_snake(name)]):
            assert getattr(distill.losses, function).__module__ == loss.__module__, name
            assert function in distill.losses.__all__, name
            assert re.search(rf"\b{function}\(", inspect.getsource(loss)), name


def _snake(name: str) -> str:
    """Of ``LogitStandardKDLoss`` ``logit_standard_kd_loss``, of ``GIoULoss`` ``giou_loss``."""
    name = name.replace("IoU", "IOU")
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@pytest.mark.parametrize("package", [distill.losses, students, teachers])
def test_what_is_listed_is_there(package: object) -> None:
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name


def test_a_recipe_of_small_images_does_not_assume_that_bf16_is_faster() -> None:
    """But for the search whose networks are not one student, which could be measured."""
    large = ("cityscapes/", "coco/", "imagenet/", "voc/")
    assuming = {
        name
        for name in recipes.names()
        if "precision: bf16" in recipes.find(name).read_text() and not name.startswith(large)
    }
    assert assuming == {"cifar10/darts"}


def test_every_recipe_that_a_page_tells_to_run_is_there() -> None:
    pages = list(ROOT.glob("*.md"))
    pages += [path for name in ("docs", "experiments") for path in (ROOT / name).rglob("*.md")]
    told = {
        (str(page.relative_to(ROOT)), name)
        for page in pages
        for name in re.findall(r"distill fit ([a-z0-9_]+/[a-z0-9_]+)(?=[\s`]|$)", page.read_text())
    }
    assert len(told) > 5
    assert [each for each in sorted(told) if each[1] not in recipes.names()] == []
