"""Every recipe that comes with the toolkit parses, builds and passes the dry pass."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

import teachers
from distill import recipes, runs
from distill.data.datasets import InMemoryImages
from distill.recipes import Recipe
from distill.recipes.build import build
from distill.recipes.stages import stages
from distill.runs.directory import write_config
from distill.tasks import MultiLabel
from tests.fixtures.dry_pass import assert_taps_are_found

NAMES = recipes.names()
# They wrap another datamodule: tests/ssld/test_recipes.py and tests/tasks/test_embedding.py.
APART = (
    "digits/embed",
    "digits/embed_fine_tune",
    "digits/embed_several",
    "digits/ssld_pipeline",
    "digits/ssld_semi",
)
DIGITS = [name for name in NAMES if name.startswith("digits/") and name not in APART]
# A bit width less than quantize_2_hint; pruning takes seconds, see tests/runs/test_compressed.py.
LIKE_OTHERS = {
    f"{folder}/{name}"
    for folder in ("digits", "cifar10", "imagenet")
    for name in ("quantize_8", "quantize_4", "quantize_2", "prune_half", "prune_quantize")
}
# Stages: digits/hint_then_kd trains.
STAGED = {
    f"digits/{name}"
    for name in ("connectors_then_overhaul", "paraphraser_then_ft", "pretrain_then_fine_tune")
}
# These differ from digits/kd or digits/hint by a loss: fast tests only set them up.
BY_LOSS = {
    f"digits/{name}"
    for name in (
        *("at", "cc", "center", "cwd", "dist", "dkd", "focal", "fsp", "ft", "hard_kd", "kd_rkd"),
        *("logit_standard_kd", "mgd", "nst", "pkd", "pkt", "rkd", "sp", "ssld", "vid"),
    )
}
# Text lines and scenes are drawn, not downloaded: tests/runs/test_text_lines.py, test_dense.py.
DRAWN = ("digits/", "text_lines/", "scenes/")
ANNOTATED = ("cityscapes/", "coco/", "voc/")  # tests/runs/test_annotated.py
OTHERS = [name for name in NAMES if not name.startswith((*DRAWN, *ANNOTATED))]
CLASSES = {"fashion_mnist": 10, "cifar10": 10, "cifar100": 100, "imagenet": 1000, "multi_label": 20}
SIZES = {"fashion_mnist": (1, 28), "cifar10": (3, 32), "cifar100": (3, 32), "multi_label": (3, 32)}
QUIET = Console(quiet=True)

Runs = Callable[[str], Path]


def some_slow(names: list[str], others: set[str] = LIKE_OTHERS) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in others else n for n in names]


def load(name: str, runs: Runs) -> dict[str, Any]:
    """The recipe with teachers from ``runs``, or random weights in place of a download."""
    tree = recipes.load(recipes.find(name))
    teacher = tree["model"]["init_args"].get("teacher")
    for spec in _networks(teacher):
        arguments = spec.get("init_args", {})
        if "run_dir" in arguments:
            run_name = Path(arguments["run_dir"]).name
            recipe = run_name if run_name in ("teacher", "student") else f"teacher_{run_name}"
            run_dir = str(runs(f"{name.split('/')[0]}/{recipe}"))
            if spec is teacher:  # other places of the recipe may point here
                tree = recipes.load(recipes.find(name), [f"model.teacher.run_dir={run_dir}"])
                break
            arguments["run_dir"] = run_dir
        elif "weights" in arguments:
            arguments["weights"] = None
    student = tree["model"]["init_args"].get("student", {}).get("init_args", {})
    if "path" in student:
        run_name = Path(student["path"]).parent.name
        student["path"] = str(runs(f"{name.split('/')[0]}/{run_name}") / "student.safetensors")
    for begun in (student, student.get("model", {}).get("init_args", {})):
        if "run_dir" in begun:
            begun["run_dir"] = str(runs(f"{name.split('/')[0]}/{Path(begun['run_dir']).name}"))
    return tree


def _networks(spec: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A teacher's spec, that of the network it wraps, or those of the members of several."""
    if spec is None:
        return []
    arguments = spec.get("init_args", {})
    return arguments.get("members") or [arguments.get("network", spec)]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """What the teachers' recipes would leave behind, untrained."""

    @cache
    def run_of(recipe: str) -> Path:
        folder = tmp_path_factory.mktemp("teacher")
        built = build(load(recipe, run_of), str(folder))
        write_config(folder, built.config, "")
        weights = built.model.student.state_dict()
        save_file({k: v.contiguous() for k, v in weights.items()}, folder / "student.safetensors")
        mean, std = list(built.data.mean), list(built.data.std)
        text = f'{{"normalization": {{"mean": {mean}, "std": {std}}}}}'
        (folder / "result.json").write_text(text)
        return folder

    return run_of


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The runs of digits recipes, each carried out once, as written."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def run_of(recipe: str) -> Path:
        runs.fit(load(recipe, run_of), folder / recipe, console=QUIET)
        return folder / recipe

    return run_of


def accuracy(run_dir: Path) -> float:
    """The student's validation accuracy in percent, after the last epoch."""
    result = json.loads((run_dir / "result.json").read_text())
    return float(result["student"]["top1"]["val"]["last"])


@pytest.mark.parametrize("name", some_slow(OTHERS))
def test_every_recipe_passes_the_dry_pass(name: str, untrained: Runs, tmp_path: Path) -> None:
    recipe = Recipe(load(name, untrained))
    for own in stages(recipe).values() if recipe.staged else [recipe]:
        dry_pass(name, own, tmp_path)


def dry_pass(name: str, recipe: Recipe, folder: Path) -> None:
    built = build(recipe, str(folder))
    dataset = name.split("/")[0]
    channels, size = SIZES.get(dataset, (3, 64))
    several = isinstance(built.data.task, MultiLabel)
    table = InMemoryImages(
        torch.randint(0, 256, (4, channels, size, size), dtype=torch.uint8),
        torch.zeros(4, CLASSES[dataset]) if several else torch.arange(4),
        torch.arange(4),
    )
    built.data.pipeline.train = table
    built.data.classes = tuple(map(str, range(CLASSES[dataset])))
    assert_taps_are_found(built)


def test_every_recipe_opens_with_its_command_and_figures() -> None:
    for name in NAMES:
        text = recipes.find(name).read_text()
        lines = text.splitlines()
        header = [line for line in lines if line.startswith("#")]
        assert header[1].startswith(f"# distill fit {name} --run_dir runs/"), name
        assert "Published: " in header[-1], name
        assert "Ours: " in header[-1], name
        assert lines.index("model:") < lines.index("data:") < lines.index("trainer:"), name
        assert "@@" not in text, name


def test_every_file_of_recipes_is_listed() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    files = folder.rglob("*.yaml")
    assert sorted(NAMES) == sorted(f"{path.parent.name}/{path.stem}" for path in files)


@pytest.mark.parametrize("name", sorted(BY_LOSS))
def test_a_digits_recipe_of_another_loss_passes_the_dry_pass(
    name: str, untrained: Runs, tmp_path: Path
) -> None:
    built = build(load(name, untrained), str(tmp_path))
    built.data.setup("fit")
    assert_taps_are_found(built)


@pytest.mark.parametrize("name", some_slow(DIGITS, LIKE_OTHERS | BY_LOSS | STAGED))
def test_every_digits_recipe_trains(name: str, untrained: Runs, tmp_path: Path) -> None:
    """Training begins with the dry pass."""
    tree = load(name, untrained)
    changes = {"data.val": 0.05, "data.test": 0, "data.train_samples": 100, "data.batch_size": 50}
    named = tree.get("stages", {})
    for key, value in (changes | {"trainer.max_epochs": 1}).items():
        for where in ("", *(f"stages.{stage}." for stage in named)):
            recipes.put(tree, where + key, value)
    result = runs.fit(tree, tmp_path / "run", console=QUIET)
    assert result["steps"] == 2 * max(1, len(named))
    model = tree["model"]
    taught = model["class_path"].endswith(".MeanTeacher") or model["init_args"].get("teacher")
    assert (result["teacher"] is None) == (not taught)


def test_a_simkd_run_can_be_tested_and_teach(untrained: Runs, tmp_path: Path) -> None:
    tree = load("digits/simkd", untrained)
    recipes.put(tree, "trainer.max_epochs", 1)
    result = runs.fit(tree, tmp_path / "run", console=QUIET)
    tested = runs.evaluate(tmp_path / "run", console=QUIET)
    assert tested["top1"]["student"] == result["student"]["top1"]["test"]["last"]
    weights = load_file(tmp_path / "run" / "student.safetensors")
    head = load_file(untrained("digits/teacher") / "student.safetensors")["fc.weight"]
    assert torch.equal(weights["backbone.fc.weight"], head)
    teacher = teachers.from_run(str(tmp_path / "run"))
    assert {key: value.shape for key, value in weights.items()} == {
        key: value.shape for key, value in teacher.state_dict().items()
    }
    assert all(torch.equal(value, weights[key]) for key, value in teacher.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_every_digits_recipe_beats_chance_clearly(name: str, trained: Runs) -> None:
    """Chance is 10 %."""
    assert accuracy(trained(name)) > 50


@pytest.mark.slow
def test_a_distilled_student_learns_from_the_teacher(trained: Runs) -> None:
    assert accuracy(trained("digits/kd")) > accuracy(trained("digits/student")) > 80
