"""Images of one's own through the toolkit: training, from a cache, resumed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from distill import recipes, runs
from distill.cli import main
from distill.recipes.build import build
from tests.fixtures.annotated import CLASSES, pictures, write_coco, write_masks
from tests.fixtures.dry_pass import assert_taps_are_found
from tests.fixtures.runs import QUIET, assert_resumes, assert_same, final_state

pytest.importorskip("faster_coco_eval", reason="needs the extra dense")

SLOW = pytest.mark.slow


def recipe_of(kind: str, folder: Path, **options: Any) -> dict[str, Any]:
    """A recipe of scenes with a teacher that is not trained, on 9 training images of one's own."""
    given = [pictures(9, seed=1), pictures(4, seed=2)]
    write, arguments = {
        "coco": (write_coco, {"classes": list(CLASSES)}),
        "masks": (write_masks, {"classes": ["ground", *CLASSES]}),
    }[kind]
    sources = [str(write(folder / f"set{i}", one)) for i, one in enumerate(given)]
    tree = recipes.load(recipes.find(f"scenes/{'detect' if kind == 'coco' else 'segment'}_all"))
    model, data = tree["model"]["init_args"], tree["data"]["init_args"]
    network = model["student"]
    network["init_args"] |= {"num_classes": len(arguments["classes"]), "in_channels": 3}
    model["teacher"] = copy.deepcopy(network)
    arguments |= {"train": sources[0], "val": sources[1], "test": sources[1], "image_size": 48}
    arguments |= {"batch_size": 3, "augment": data["augment"]}
    tree["data"] = {"class_path": "distill.data.Annotated", "init_args": arguments}
    changes = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
    for key, value in (changes | options).items():
        recipes.put(tree, key, value)
    return tree


@pytest.mark.parametrize("kind", [pytest.param("coco", marks=SLOW), "masks"])
def test_training_from_the_cache_is_live_training(kind: str, tmp_path: Path) -> None:
    cached = {"model.init_args.cache": str(tmp_path / "cache.sqlite")}
    live = runs.fit(recipe_of(kind, tmp_path), tmp_path / "live", console=QUIET)
    runs.fit(recipe_of(kind, tmp_path, **cached), tmp_path / "filled", console=QUIET)
    again = runs.fit(recipe_of(kind, tmp_path, **cached), tmp_path / "cached", console=QUIET)
    assert live["steps"] == 3
    assert again["cache"]["batches_computed"] == 0
    assert_same(final_state(tmp_path / "live"), final_state(tmp_path / "cached"))
    metric = live["metric"]
    tested = runs.evaluate(tmp_path / "cached", console=QUIET)
    assert tested[metric]["student"] == live["student"][metric]["test"]["last"]


@pytest.mark.parametrize("kind", ["coco", pytest.param("masks", marks=SLOW)])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize("steps", [(2,), pytest.param((1, 2, 4, 5), marks=SLOW)])
def test_a_run_resumes_to_the_same_bits(
    kind: str, workers: int, steps: tuple[int, ...], tmp_path: Path
) -> None:
    options = {"data.init_args.workers": workers, "trainer.log_every_n_steps": 1}
    options["trainer.max_epochs"] = 1 if steps == (2,) else 2
    tree = recipe_of(kind, tmp_path, **options)
    assert_resumes(tree, steps, tmp_path)


OF_ITS_OWN = ("coco/", "voc/", "cityscapes/")
NAMES = [name for name in recipes.names() if name.startswith(OF_ITS_OWN)]


def without_downloads(name: str, folder: Path) -> dict[str, Any]:
    """A recipe on small images of one's own, its networks and those of its teacher's untrained."""
    tree = recipes.load(recipes.find(name))
    model, data = tree["model"]["init_args"], tree["data"]["init_args"]
    masks = data["labels"] == "masks"
    if model["teacher"] is not None and "run_dir" in model["teacher"]["init_args"]:
        run = model["teacher"]["init_args"]["run_dir"].removeprefix("runs/")
        model["teacher"] = recipes.load(recipes.find(run))["model"]["init_args"]["student"]
    for network in filter(None, (model["student"], model["teacher"])):
        arguments = network["init_args"]
        arguments.pop("pretrained", None)
        arguments.pop("weights", None)
        if not masks:
            arguments["num_classes"] = len(CLASSES)
    source = str((write_masks if masks else write_coco)(folder / "set", pictures(4)))
    data |= {"train": source, "val": source, "image_size": 64, "batch_size": 2, "workers": 0}
    recipes.put(tree, "trainer.precision", "32-true")
    return tree


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[SLOW] * (name != "voc/segment_student")) for name in NAMES],
)
def test_every_recipe_passes_the_dry_pass(name: str, tmp_path: Path) -> None:
    built = build(without_downloads(name, tmp_path), str(tmp_path))
    built.data.setup("fit")
    assert_taps_are_found(built)


def test_three_changed_lines_train_on_images_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What else is given here makes it small: a backbone of ours, without a download."""
    recipe = tmp_path / "mine.yaml"
    assert main(["cp", "coco/detect_teacher", str(recipe)]) == 0
    train = write_coco(tmp_path / "train", pictures(6, seed=1))
    val = write_coco(tmp_path / "val", pictures(3, seed=2))
    before = recipe.read_text()
    text = before.replace("data/coco/annotations/instances_train2017.json", str(train))
    text = text.replace("data/coco/annotations/instances_val2017.json", str(val))
    text = text.replace("num_classes: 80", f"num_classes: {len(CLASSES)}")
    changed = [a != b for a, b in zip(before.splitlines(), text.splitlines(), strict=True)]
    assert sum(changed) == 3
    recipe.write_text(text)
    small = ["image_size=64", "batch_size=2", "workers=0"]
    given = [f"--data.{one}" for one in small]
    given += ["--model.student.backbone=resnet8", "--model.student.pretrained=false"]
    given += ["--model.student.channels=8", "--model.student.strides=[8,16]"]
    given += ["--trainer.max_epochs=2", "--trainer.precision=32-true"]
    run = tmp_path / "run"
    assert main(["fit", str(recipe), "--run_dir", str(run), *given]) == 0, capsys.readouterr().err
    result = json.loads((run / "result.json").read_text())
    assert result["metric"] == "map"
    assert result["dataset"]["classes"] == list(CLASSES)
    assert result["dataset"]["images"] == {"train": 6, "val": 3}
    assert 0 <= result["student"]["map"]["val"]["last"] <= 100
