"""Several labels per image, from a table on disk to the figures of a run."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from sklearn.metrics import average_precision_score, f1_score

from distill import recipes, runs
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.data import MultiLabelImages
from distill.recipes import Recipe
from distill.tasks import MultiLabel, Tells

TASK = MultiLabel()
QUIET = Console(quiet=True)
NAMES = ("red", "green", "blue")


def folder(path: Path, n: int = 40, as_list: bool = True, seed: int = 0) -> Path:
    """Images of 8x8 pixels whose channels are bright where their class is there."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    there = rng.integers(0, 2, (n, 3))
    rows = []
    for number, own in enumerate(there):
        pixels = rng.integers(0, 80, (8, 8, 3)) + 150 * own
        Image.fromarray(pixels.astype("uint8")).save(path / f"{number}.png")
        names = [name for name, yes in zip(NAMES, own, strict=True) if yes]
        marks = dict(zip(NAMES, own.tolist(), strict=True))
        rows.append({"path": f"{number}.png"} | ({"labels": ";".join(names)} if as_list else marks))
    with (path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    np.save(path / "there.npy", there)
    return path


def ready(path: Path, **options: Any) -> MultiLabelImages:
    data = MultiLabelImages(str(path), **({"val": 0.2, "batch_size": 8} | options))
    data.setup("fit")
    return data


@pytest.mark.parametrize("as_list", [True, False])
def test_labels_are_those_of_the_table(as_list: bool, tmp_path: Path) -> None:
    data = ready(folder(tmp_path, as_list=as_list))
    assert data.classes == (tuple(sorted(NAMES)) if as_list else NAMES)
    order = [NAMES.index(name) for name in data.classes]
    there = np.load(tmp_path / "there.npy")[:, order]
    for batch in data.val_dataloader():
        assert batch.target.dtype == torch.float32
        assert np.array_equal(batch.target.numpy(), there[batch.index.numpy()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,red\n0.png,maybe\n", r"line 2 needs 0 or 1 in column red, it has 'maybe'$"),
        ("path,labels\n9.png,red\n", r"line 2 names .*9\.png, which is no file$"),
        ("name,labels\n0.png,red\n", r"needs a column path or .*, it has name, labels"),
        ("path,labels\n", r"no images in .*labels\.csv$"),
        ("path,labels\n0.png,\n", r"names no class"),
    ],
)
def test_a_table_that_does_not_do_is_told_in_a_line(
    text: str, message: str, tmp_path: Path
) -> None:
    folder(tmp_path, n=1)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        ready(tmp_path)


def test_other_sources_may_not_have_classes_of_their_own(tmp_path: Path) -> None:
    few, other = folder(tmp_path / "few"), folder(tmp_path / "other", n=4)
    table = (other / "labels.csv").read_text()
    (other / "labels.csv").write_text(table.replace("0.png,", "0.png,pink;", 1))
    with pytest.raises(ValueError, match=r"has other classes; not in both: pink"):
        ready(few, val=str(other))


def outputs(n: int = 30) -> tuple[torch.Tensor, Batch]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, 3, generator=generator)
    target = torch.randint(0, 2, (n, 3), generator=generator).float()
    return logits, Batch(torch.zeros(n, 3, 2, 2), target, torch.arange(n), 0)


def test_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    logits, batch = outputs()
    metric = TASK.evaluation(ready(folder(tmp_path)))
    for part in range(0, 30, 10):
        rows = slice(part, part + 10)
        own = Batch(batch.image[rows], batch.target[rows], batch.index[rows], 0)
        metric.update(TASK.predicted(logits[rows]), TASK.target(own))
    found = metric.compute()
    p, y = logits.sigmoid().numpy(), batch.target.numpy()
    assert found["mAP"] == pytest.approx(average_precision_score(y, p, average="macro"), abs=1e-6)
    assert found["f1"] == pytest.approx(f1_score(y, p > 0.5, average="macro"), abs=1e-6)
    assert found["exact"] == pytest.approx(((p > 0.5) == y).all(1).mean(), abs=1e-6)


def test_the_loss_is_the_sum_over_classes_of_binary_cross_entropies() -> None:
    logits, batch = outputs()
    p, y = logits.double().sigmoid().numpy(), batch.target.double().numpy()
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(1).mean()
    assert TASK.label_loss(logits, batch).item() == pytest.approx(expected, rel=1e-6)


def test_the_comparison_is_that_of_a_loop(tmp_path: Path) -> None:
    logits, batch = outputs()
    taught = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    comparison = TASK.comparison(ready(folder(tmp_path)), with_teacher=True)
    comparison.update(TASK.predicted(logits), TASK.predicted(taught), TASK.target(batch))
    found = comparison.compute()
    s, t = logits.double().sigmoid().numpy(), taught.double().sigmoid().numpy()
    kl = (t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))).sum(1).mean()
    assert found["agreement"] == pytest.approx(((s > 0.5) == (t > 0.5)).mean(), abs=1e-6)
    assert found["kl_to_teacher_nats"] == pytest.approx(kl, rel=1e-4)
    alone = TASK.comparison(ready(tmp_path), with_teacher=False)
    alone.update(TASK.predicted(logits), None, TASK.target(batch))
    assert alone.compute() == {}


def test_outputs_and_captions(tmp_path: Path) -> None:
    data = ready(folder(tmp_path))
    TASK.check_outputs(torch.zeros(2, 3), data)
    with pytest.raises(ValueError, match=r"^needs logits \(b, 3\), one per class of the data"):
        TASK.check_outputs(torch.zeros(2, 4), data)
    assert TASK.caption(torch.tensor([1.0, 0.0, 1.0]), NAMES) == "red, blue"
    assert TASK.caption(torch.zeros(3), NAMES) == "none"


def recipe(name: str, path: Path, **changes: Any) -> Recipe:
    found = Recipe(recipes.load(recipes.find(f"multi_label/{name}")))
    small = {
        "data.train": str(path),
        "data.image_size": 8,
        "data.val": 0.2,
        "data.augment": [],
        "data.batch_size": 8,
        "model.optimizer.lr": 0.05,
        "trainer.max_epochs": 6,
        "trainer.accelerator": "cpu",
    }
    arguments = {"num_classes": 3, "in_channels": 3}
    small["model.student"] = {"class_path": "students.resnet8", "init_args": arguments}
    for key, value in (small | changes).items():
        found = found.put(key, value)
    return found


@pytest.mark.slow
def test_the_recipes_train_and_the_best_is_chosen_by_map(tmp_path: Path) -> None:
    images, test = folder(tmp_path / "images", n=80), folder(tmp_path / "test", n=20, seed=1)
    taught = {"data.test": str(test)}
    teacher = runs.fit(recipe("teacher", images, **taught), tmp_path / "teacher", console=QUIET)
    assert (teacher["task"], teacher["metric"], teacher["goal"]) == (
        "MultiLabel",
        "mAP",
        "maximize",
    )
    assert teacher["student"]["mAP"]["val"]["best"] > 90
    run_dir = {"model.teacher.run_dir": str(tmp_path / "teacher")}
    result = runs.fit(recipe("kd", images, **taught, **run_dir), tmp_path / "kd", console=QUIET)
    assert json.loads((tmp_path / "kd" / "result.json").read_text()) == result
    assert result["student"]["mAP"]["test"]["last"] > 60
    assert 0.5 <= result["diagnostics"]["agreement"] <= 1
    header = (tmp_path / "kd" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val/mAP", "val/f1", "val/exact", "val/loss", "train/loss/kd"} <= set(header)
    assert (tmp_path / "kd" / "checkpoints" / "best.ckpt").is_file()
    tested = runs.evaluate(tmp_path / "kd", str(test), console=QUIET)
    assert tested["mAP"]["student"] == result["student"]["mAP"]["test"]["last"]


def test_a_student_of_other_classes_is_told_before_training(tmp_path: Path) -> None:
    wrong = recipe("teacher", folder(tmp_path / "images"), **{"model.student.num_classes": 4})
    with pytest.raises(RecipeError, match=r"^model\.student: needs logits \(b, 3\).*\(2, 4\)$"):
        runs.fit(wrong, tmp_path / "run", console=QUIET)


def test_rows_have_the_classes_above_one_half() -> None:
    logits = torch.tensor([[0.1, -1.0, 2.0], [-3.0, -2.0, 0.0]])
    first, none = TASK.rows(logits, NAMES, 1)
    assert first["labels"] == ["blue", "red"]
    expected = 1 / (1 + np.exp([-2.0, -0.1]))
    assert first["probabilities"] == pytest.approx(expected.tolist())
    assert none == {"labels": [], "probabilities": []}
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    pictures = TASK.pictures(images, logits, NAMES)
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert isinstance(TASK, Tells)
