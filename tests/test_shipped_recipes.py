"""Every recipe that comes with the toolkit parses, builds and passes the dry pass."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from safetensors.torch import save_file

from distill import recipes, run
from distill.build import build
from distill.data.datasets import ImageTable
from distill.recipe_check import check

NAMES = recipes.names()
CLASSES = {"digits": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100, "imagenet": 1000}
SIZES = {"digits": (1, 8), "fashion_mnist": (1, 28), "cifar10": (3, 32), "cifar100": (3, 32)}


def load(name: str, tmp_path: Path) -> dict[str, Any]:
    """The recipe with a teacher run, or random weights in place of a download."""
    tree = recipes.load(recipes.find(name))
    arguments = tree["model"]["init_args"]
    spec = (arguments["teacher"] or {}).get("init_args", {})
    if "run_dir" in spec:
        spec["run_dir"] = str(teacher_run(name, spec["run_dir"], tmp_path))
    elif "weights" in spec:
        spec["weights"] = None
    return tree


def teacher_run(name: str, run_dir: str, tmp_path: Path) -> Path:
    """What the teacher's recipe would leave behind, untrained."""
    dataset = name.split("/")[0]
    teacher = Path(run_dir).name
    recipe = f"{dataset}/{'teacher' if teacher == 'teacher' else f'teacher_{teacher}'}"
    tree = recipes.load(recipes.find(recipe))
    folder = tmp_path / "teacher"
    folder.mkdir()
    built = build(copy.deepcopy(tree), str(folder))
    (folder / "config.yaml").write_text(str(built.config))
    weights = {key: value.contiguous() for key, value in built.model.student.state_dict().items()}
    save_file(weights, folder / "student.safetensors")
    mean, std = list(built.data.mean), list(built.data.std)
    (folder / "result.json").write_text(f'{{"normalization": {{"mean": {mean}, "std": {std}}}}}')
    return folder


def test_the_promised_recipes_are_there() -> None:
    methods = ("teacher", "student", "kd", "ssld", "overhaul", "rkd", "kd_rkd")
    for dataset in ("digits", "fashion_mnist", "cifar10"):
        assert {f"{dataset}/{method}" for method in methods} <= set(NAMES)
    for pair in ("resnet32x4_resnet8x4", "wrn_40_2_wrn_16_2"):
        assert {f"cifar100/{method}_{pair}" for method in ("kd", "overhaul", "rkd")} <= set(NAMES)
    assert "imagenet/kd_resnet34_resnet18" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_passes_the_dry_pass(name: str, tmp_path: Path) -> None:
    tree = load(name, tmp_path)
    check(tree)
    built = build(tree, str(tmp_path))
    dataset = name.split("/")[0]
    channels, size = SIZES.get(dataset, (3, 64))
    table = ImageTable(
        torch.randint(0, 256, (4, channels, size, size), dtype=torch.uint8),
        torch.arange(4),
        torch.arange(4),
    )
    built.data.pipeline.train = table
    built.data.classes = tuple(map(str, range(CLASSES[dataset])))
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.datamodule = built.data
    built.model.trainer = trainer
    built.model.setup("fit")
    terms = built.model.terms
    tapped = {key for term in terms.values() for key in term.sources() if "@" in key}
    assert set(built.model.shapes) == tapped


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_opens_with_its_command_and_figures(name: str) -> None:
    lines = recipes.find(name).read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert header[1].startswith(f"# distill fit {name} --run_dir runs/")
    assert "Published: " in header[-1]
    assert "Ours: " in header[-1]
    assert lines.index("model:") < lines.index("data:") < lines.index("trainer:")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits/")])
def test_every_digits_recipe_trains(name: str, tmp_path: Path) -> None:
    tree = load(name, tmp_path)
    for key, value in {"max_epochs": 2, "check_val_every_n_epoch": 1}.items():
        recipes.put(tree, f"trainer.{key}", value)
    result = run.fit(tree, tmp_path / "run", console=Console(quiet=True))
    assert result["steps"] == 2 * (1078 // 64 if name == "digits/teacher" else 2)
    assert (result["teacher"] is None) == (name in ("digits/teacher", "digits/student"))


@pytest.mark.slow
def test_a_distilled_student_beats_chance_and_learns_from_the_teacher(tmp_path: Path) -> None:
    console = Console(quiet=True)
    teacher = recipes.load(recipes.find("digits/teacher"))
    run.fit(teacher, tmp_path / "teacher", console=console)
    accuracies = {}
    for method in ("student", "kd"):
        tree = recipes.load(recipes.find(f"digits/{method}"))
        if method == "kd":
            recipes.put(tree, "model.teacher.run_dir", str(tmp_path / "teacher"))
        result = run.fit(tree, tmp_path / method, console=console)
        accuracies[method] = result["student"]["top1"]["val"]["last"]
    assert accuracies["kd"] > accuracies["student"] > 80
