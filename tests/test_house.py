"""Who imports whom, beyond what the import contracts of pyproject.toml can say."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
ROOMS = {path.parent.name for path in (ROOT / "distill").glob("*/__init__.py")}
SOURCES = sorted(
    path for name in ("distill", "teachers", "students") for path in (ROOT / name).rglob("*.py")
)
# Imports that are not at the top of their module, by file and package:
# commands and the parser start without what they do not need,
START_UP = {
    ("distill/__init__.py", "distill"),
    ("distill/__main__.py", "distill"),
    ("distill/cli/aids.py", "distill"),
    ("distill/cli/app.py", "distill"),
    ("distill/cli/commands.py", "distill"),
    ("distill/core/walk.py", "torch"),
}
# packages that come with an extra may be missing,
OPTIONAL = {
    "huggingface_hub",
    *("matplotlib", "onnx", "onnxruntime", "optuna", "pandas", "pyarrow", "ray"),
    *("segmentation_models_pytorch", "torch_pruning", "transformers"),
}
# as may those that the pages of a report are made with, which the file asks for together,
OPTIONAL_TOGETHER = {("distill/report/write.py", "distill")}
# and these take seconds.
SLOW = {"sklearn", "timm", "torchvision", "wandb"}
# They import what recipes name.
BY_NAME = {"distill/core/class_paths.py"}
# What distill names of the packages that it never imports.
CLASS_PATHS = {
    "students.elastic_chain",
    "students.MixedCells",
    "students.from_architecture",
    "students.timm_model",
    "teachers.timm_model",
    "students.torchvision_model",
    "teachers.Cached",
    "teachers.Resized",
    "teachers.from_checkpoint",
    "teachers.from_run",
}


def test_the_contract_lists_every_room() -> None:
    (house,) = [contract for contract in CONTRACTS if contract["type"] == "layers"]
    listed = [name.strip() for layer in house["layers"] for name in layer.split("|")]
    assert house["exhaustive"] is True
    assert house["containers"] == ["distill"]
    assert sorted(listed) == sorted(ROOMS | {"__main__"})


def test_what_stands_apart_stands_apart_from_every_room() -> None:
    """A new room is forbidden to the losses and to the teachers, unless somebody decides so."""
    forbidden = {
        contract["source_modules"][0]: set(contract["forbidden_modules"])
        for contract in CONTRACTS
        if contract["type"] == "forbidden"
    }
    rooms = {f"distill.{room}" for room in ROOMS}
    own = {"teachers", "students"}
    assert forbidden["distill.losses"] == rooms - {"distill.losses"} | own
    assert forbidden["teachers"] == rooms - {"distill.cache", "distill.core"}
    assert forbidden["students"] == {"distill", "teachers"}
    assert forbidden["distill"] == own


def test_an_import_inside_a_function_hides_no_circle() -> None:
    """It is of a package that may be missing or is slow, or it is one of a few for start-up."""
    found = set(_inner_imports())
    ours = {(file, package) for file, package in found if package not in OPTIONAL | SLOW}
    assert ours == START_UP | OPTIONAL_TOGETHER
    assert {package for _, package in found - ours} == OPTIONAL | SLOW


def test_modules_are_imported_by_name_where_a_recipe_gives_it_alone() -> None:
    using = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if re.search(r"\bimport_module\(|\b__import__\(", path.read_text())
    }
    assert using == BY_NAME


def _inner_imports() -> Iterator[tuple[str, str]]:
    """File and package of imports inside of functions, of ``if`` and of ``try``."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in tree.body:
                names = [alias.name for alias in node.names]
                for name in names if isinstance(node, ast.Import) else [node.module or ""]:
                    yield str(path.relative_to(ROOT)), name.split(".")[0]


def test_the_class_paths_that_distill_names_are_there() -> None:
    """No import finds them: who renames a factory must change the strings that name it."""
    found: set[str] = set()
    for path in (ROOT / "distill").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"\b(?:teachers|students)\.[A-Za-z_]\w*", node.value))
    assert found == CLASS_PATHS
    for path in CLASS_PATHS:
        package, _, name = path.partition(".")
        module = importlib.import_module(package)
        assert name in module.__all__
        assert callable(getattr(module, name))
