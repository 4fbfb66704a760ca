"""Segmenters and detectors through the toolkit: recipes, caches, resume, processes."""

import copy
import csv
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from onnxruntime import InferenceSession
from safetensors.torch import load_file
from torchvision.transforms.v2.functional import to_pil_image

from distill import recipes, runs
from distill.core.errors import RecipeError
from distill.data.scenes import scenes
from distill.recipes.build import build
from distill.tasks import Detection
from distill.tasks.detection import detections
from distill.tools.export import export
from distill.tools.predict import predict
from distill.tools.student import open_student
from tests.fixtures.annotated import pictures, write_coco
from tests.fixtures.dry_pass import assert_taps_are_found
from tests.fixtures.runs import QUIET, assert_resumes, assert_same, final_state

pytest.importorskip("faster_coco_eval", reason="needs the extra dense")

ROOT = Path(__file__).parents[2]
NAMES = [name for name in recipes.names() if name.startswith("scenes/")]
WITH_TEACHER = ("scenes/segment_all", "scenes/detect_all")
SMALL = {
    "data.init_args.train": 20,
    "data.init_args.val": 8,
    "data.init_args.test": 8,
    "data.init_args.batch_size": 4,
    "trainer.max_epochs": 1,
    "trainer.check_val_every_n_epoch": 1,
}


@pytest.fixture(scope="session")
def teacher_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Runs of one epoch of a smaller network, by the first word of a recipe's name."""
    found = {}
    for kind in ("segment", "detect"):
        folder = tmp_path_factory.mktemp(kind) / "run"
        runs.fit(small(f"scenes/{kind}_student"), folder, console=QUIET)
        found[kind] = str(folder)
    return found


def small(name: str, run_dir: str | None = None, **options: Any) -> dict[str, Any]:
    tree = recipes.load(recipes.find(name))
    if run_dir is not None:
        recipes.put(tree, "model.init_args.teacher.init_args.run_dir", run_dir)
    for key, value in (SMALL | options).items():
        recipes.put(tree, key, value)
    return tree


def recipe_of(name: str, teachers: dict[str, str], **options: Any) -> dict[str, Any]:
    tree = recipes.load(recipes.find(name))
    taught = tree["model"]["init_args"]["teacher"] is not None
    kind = name.split("/")[1].split("_")[0]
    return small(name, teachers[kind] if taught else None, **options)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_passes_the_dry_pass(
    name: str, teacher_of: dict[str, str], tmp_path: Path
) -> None:
    built = build(recipe_of(name, teacher_of), str(tmp_path))
    built.data.setup("fit")
    assert_taps_are_found(built)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scenes/segment_all", "scenes/detect_all"])
def test_training_from_the_cache_is_live_training(
    name: str, teacher_of: dict[str, str], tmp_path: Path
) -> None:
    cache = {"model.init_args.cache": str(tmp_path / "cache.sqlite"), "trainer.max_epochs": 2}
    epochs = {"trainer.max_epochs": 2}
    live = runs.fit(recipe_of(name, teacher_of, **epochs), tmp_path / "live", console=QUIET)
    runs.fit(recipe_of(name, teacher_of, **cache), tmp_path / "filled", console=QUIET)
    cached = runs.fit(recipe_of(name, teacher_of, **cache), tmp_path / "cached", console=QUIET)
    assert cached["cache"]["batches_computed"] == 0
    assert_same(final_state(tmp_path / "live"), final_state(tmp_path / "cached"))
    assert live["student"] == cached["student"] | {
        "cpu_latency_ms": live["student"]["cpu_latency_ms"]
    }
    tested = runs.evaluate(tmp_path / "cached", console=QUIET)
    metric = live["metric"]
    assert tested[metric]["student"] == live["student"][metric]["test"]["last"]


@pytest.mark.parametrize(
    "name", ["scenes/segment_all", pytest.param("scenes/detect_all", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("steps", [pytest.param(range(1, 15), marks=pytest.mark.slow), (4, 11)])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_resumes_to_the_same_bits(
    name: str, steps: Any, workers: int, teacher_of: dict[str, str], tmp_path: Path
) -> None:
    options = {"trainer.max_epochs": 3, "data.init_args.workers": workers}
    tree = recipe_of(name, teacher_of, **options, **{"trainer.log_every_n_steps": 1})
    assert_resumes(tree, steps, tmp_path)


def start(run_dir: Path, tree: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights that a run of its own processes leaves; norms there are of each image alone."""
    network = {"network": tree["model"]["init_args"]["student"]}
    called = "tests.fixtures.networks.without_batch_norms"
    recipes.put(tree, "model.init_args.student", {"class_path": called, "init_args": network})
    file = run_dir.with_suffix(".json")
    file.write_text(json.dumps(tree))
    given = [str(file), "--run_dir", str(run_dir), "--trust", "tests"]
    command = [sys.executable, "-m", "distill", "fit", *given]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return load_file(run_dir / "student.safetensors")


def assert_trains_as_one(tree: dict[str, Any], batch: int, folder: Path) -> None:
    """By SGD: Adam's steps would be large where gradients of rounding alone differ."""
    model, data = tree["model"]["init_args"], tree["data"]["init_args"]
    model["optimizer"] = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}
    model["scheduler"] = None
    data |= {"augment": [], "batch_size": batch}
    halves = copy.deepcopy(tree)
    halves["data"]["init_args"]["batch_size"] = batch // 2
    halves["trainer"] |= {"devices": 2, "strategy": "ddp"}
    one, two = start(folder / "one", tree), start(folder / "two", halves)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_TEACHER)
def test_two_processes_train_as_one(name: str, teacher_of: dict[str, str], tmp_path: Path) -> None:
    """Boxes are unequally many; PKD compares the images of a batch."""
    options = {"model.init_args.losses.pkd.batch": "gathered"} if "detect" in name else {}
    assert_trains_as_one(recipe_of(name, teacher_of, **options), 8, tmp_path)


@pytest.mark.slow
def test_a_process_without_a_box_trains_as_one_with_the_other(tmp_path: Path) -> None:
    """The second of the two images has none."""
    source = str(write_coco(tmp_path / "set", pictures(2)))
    tree = small("scenes/detect_student", **{"trainer.max_epochs": 3})
    tree["model"]["init_args"]["student"]["init_args"] |= {"num_classes": 3, "in_channels": 3}
    data = {"train": source, "val": source, "image_size": 48}
    tree["data"] = {"class_path": "distill.data.Annotated", "init_args": data}
    assert_trains_as_one(tree, 2, tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("segment_student", {"data.init_args.labels": "boxes"}, "unknown source 'student.logits'"),
        (
            "segment_student",
            {"model.init_args.student.init_args.num_classes": 12},
            r"needs logits \(b, 11, 48, 48\), .* gives \(2, 12, 48, 48\)",
        ),
        ("detect_student", {"data.init_args.labels": "masks"}, "unknown source 'student.classes'"),
        (
            "detect_student",
            {"model.init_args.losses.giou.inputs.input": "student.boxes[postive]"},
            r"unknown region in 'student.boxes\[postive\]', did you mean 'positive'",
        ),
        (
            "detect_student",
            {
                "model.init_args.losses.hint": {
                    "loss": "torch.nn.Identity",
                    "inputs": {"input": "student@head.classes"},
                }
            },
            r"the layer at 'head.classes' runs more than once, with shapes",
        ),
        (
            "detect_ld",
            {"model.init_args.student.init_args.bins": 12},
            r"student.edges\[positive\] .* teacher.edges\[positive\]",
        ),
        (
            "detect_ld",
            {"model.init_args.student.init_args.strides": [4, 8, 16]},
            r"points \(2, 189\) and a tensor \(2, 180, 4, 8\) have no rows in common",
        ),
        (
            "detect_fgd",
            {"model.init_args.losses.fgd.inputs": {"student": "student.edges"}},
            r"model\.losses\.fgd\.inputs: FGDLoss needs its argument",
        ),
        (
            "segment_student",
            {"data.init_args.augment": [{"class_path": "distill.augment.Mixup"}]},
            "Mixup",
        ),
    ],
)
def test_a_wrong_recipe_is_told_in_a_line(
    name: str, options: dict[str, Any], message: str, teacher_of: dict[str, str], tmp_path: Path
) -> None:
    tree = recipe_of(f"scenes/{name}", teacher_of, **options)
    with pytest.raises(RecipeError, match=message) as raised:
        runs.fit(tree, tmp_path / "run", console=QUIET)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["scenes/detect_student", "scenes/detect_ld"])
def test_a_missing_package_is_told_in_a_line(
    name: str, teacher_of: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    told = r"^data: boxes need faster-coco-eval: pip install 'distill\[dense\]'$"
    with pytest.raises(RecipeError, match=told):
        runs.fit(recipe_of(name, teacher_of), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def picture(folder: Path) -> Path:
    """A scene as a file."""
    image = scenes("test", 1, 48, False).images[0]
    to_pil_image(image).save(folder / "scene.png")
    return folder / "scene.png"


def assert_same_boxes(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """What is left after suppression has the same classes, and boxes within a thousandth pixel."""
    left = [detections(outputs, least=0.0, most=20) for outputs in (found, expected)]
    for a, b in zip(*left, strict=True):
        assert len(b["labels"]) == 20
        assert torch.equal(a["labels"], b["labels"])
        torch.testing.assert_close(a["boxes"], b["boxes"], atol=1e-3, rtol=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segment", "detect"])
def test_a_student_is_exported_and_predicts(
    kind: str,
    teacher_of: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_dir, image = Path(teacher_of[kind]), picture(tmp_path)
    assert predict(run_dir, [image], tmp_path / "told", console=QUIET).told == 1
    with (tmp_path / "told" / "predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (tmp_path / "told" / row["picture"]).is_file()
    columns = {"segment": {"classes", "shares"}, "detect": {"classes", "scores", "left", "top"}}
    assert columns[kind] <= row.keys()
    for end in ("onnx", "pt2"):
        export(run_dir, tmp_path / f"student.{end}", console=QUIET)
    pixels = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    session = InferenceSession(tmp_path / "student.onnx")
    names = [output.name for output in session.get_outputs()]
    program = torch.export.load(tmp_path / "student.pt2").module()
    for batch in (pixels[:1], pixels):
        with torch.no_grad():
            outputs = load_run(run_dir)(batch)
            exported = program(batch)
        expected = {"logits": outputs} if isinstance(outputs, torch.Tensor) else outputs
        of_pt2 = (exported,) if isinstance(exported, torch.Tensor) else exported
        of_onnx = [torch.from_numpy(value) for value in session.run(None, {"image": batch.numpy()})]
        for given in (of_pt2, of_onnx):
            found = dict(zip(names, given, strict=True))
            for name, value in found.items():
                torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)
            if kind == "detect":
                assert_same_boxes(found, outputs)
    monkeypatch.setattr(sys, "argv", ["run_onnx.py", str(image)])
    runpy.run_path(str(tmp_path / "run_onnx.py"))
    told = capsys.readouterr().out
    assert kind == "detect" or re.match(r"0\.\d{4}  (ground|\d)\n", told)


def test_what_a_detector_found_is_told_and_drawn() -> None:
    box = torch.tensor([[[4.0, 4, 20, 20]]])
    outputs = {"scores": torch.tensor([[[0.1, 0.9]]]), "boxes": box}
    row, *_ = Detection().rows(outputs, ["cat", "dog"], 5)
    assert row["classes"] == ["dog"]
    assert [row[side] for side in ("left", "top", "right", "bottom")] == [[4], [4], [20], [20]]
    image = torch.zeros(1, 1, 48, 48, dtype=torch.uint8)
    (drawn,) = Detection().pictures(image, outputs, ["cat", "dog"])
    assert drawn.getpixel((4 * 4, 10 * 4)) != (0, 0, 0)
    assert drawn.getpixel((2, 2)) == (0, 0, 0)


def load_run(run_dir: Path) -> torch.nn.Module:
    return open_student(run_dir).network


def test_weights_are_those_of_the_last_step(teacher_of: dict[str, str]) -> None:
    weights = load_file(Path(teacher_of["detect"]) / "student.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
