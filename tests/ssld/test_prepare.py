"""All steps of SSLD on small parts of photographs, from files to a trained student."""

import copy
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from distill import recipes, runs
from distill.cli import main
from distill.core.errors import RecipeError
from distill.core.fingerprint import view_hash
from distill.data.selection import name, number
from distill.data.sources import UNLABELLED
from distill.recipes.build import build
from distill.ssld import prepare
from distill.ssld.perceptual import perceptual_hash
from tests.fixtures.photographs import crops, jpeg

CROPS = crops(24, 48)
CROPS = CROPS[perceptual_hash(CROPS).sum(1) >= 16]  # the sky is like any other sky
VAL, LABELLED, POOL = CROPS[0:12:2], CROPS[1:24:2], CROPS[24:80]
QUIET = Console(quiet=True)
STAYS = [
    *("clean.json", "near_duplicates.csv", "near_duplicates.png", "label.json"),
    *("labels.safetensors", "select.json", "selected.csv"),
]


def save(path: Path, images: Sequence[torch.Tensor], classes: int = 0) -> str:
    for place, image in enumerate(images):
        own = path / f"class {place % classes}" if classes else path
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(own / f"{place:03}.png")
    return str(path)


def planted() -> list[torch.Tensor]:
    return [VAL[0], jpeg(VAL[1], 75), VAL[2].flip(-1)]


def pool() -> list[torch.Tensor]:
    """With near duplicates of three validation images, and one image twice."""
    return [*POOL, *planted(), POOL[3]]


def recipe(tmp_path: Path, unlabelled: str) -> dict[str, Any]:
    images = {
        "class_path": "distill.data.Images",
        "init_args": {
            "train": save(tmp_path / "labelled", LABELLED, 3),
            "val": save(tmp_path / "val", VAL, 3),
            "batch_size": 6,
        },
    }
    data = {"images": images, "unlabelled": unlabelled, "selected": str(tmp_path / "ssld")}
    networks = {
        network: {
            "class_path": "tests.fixtures.networks.tiny",
            "init_args": {"width": width, "num_classes": 3, "in_channels": 3},
        }
        for network, width in (("teacher", 12), ("student", 8))
    }
    logits = {"student": "student.logits", "teacher": "teacher.logits"}
    losses = {"ssld": {"loss": "distill.losses.SSLDLoss", "inputs": logits}}
    return {
        "model": {
            "class_path": "distill.modules.Distillation",
            "init_args": {**networks, "losses": losses},
        },
        "data": {"class_path": "distill.data.PartlyLabelled", "init_args": data},
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }


def done(tree: dict[str, Any], top_k: int = 5, **options: Any) -> Path:
    return prepare(tree, top_k, trusted=("tests",), console=QUIET, **options)


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    return recipe(tmp_path, save(tmp_path / "pool", pool()))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def manifest(folder: Path, step: str) -> dict[str, Any]:
    return json.loads((folder / f"{step}.json").read_text())


def hashes(images: Sequence[torch.Tensor]) -> set[str]:
    return {name(value) for value in view_hash(torch.stack(list(images))).tolist()}


def test_the_steps_leave_what_they_say(tree: dict[str, Any]) -> None:
    folder = done(tree)
    dropped = {row["unlabelled"] for row in rows(folder / "near_duplicates.csv")}
    assert hashes(planted()) <= dropped
    told = manifest(folder, "clean")
    assert told["threshold"] == "6 of 126 bits"
    assert told["compared_with"] == {"val": len(VAL)}
    assert (told["unlabelled"], told["repeated"]) == (len(pool()), 1)
    assert told["near_duplicates"] == len(dropped)
    left = hashes(pool()) - dropped
    assert told["left"] == manifest(folder, "label")["images"] == len(left) > 30
    labels = load_file(folder / "labels.safetensors")
    assert {name(value) for value in labels["pixels"].tolist()} == left
    chosen = rows(folder / "selected.csv")
    counts = manifest(folder, "select")["classes"]
    assert list(counts) == ["class 0", "class 1", "class 2"]
    assert all(own["selected"] == min(5, own["predicted"]) for own in counts.values())
    assert sum(own["selected"] for own in counts.values()) == len(chosen)
    assert {row["pixels"] for row in chosen} <= left


def test_the_soft_labels_are_the_teachers(tree: dict[str, Any], tmp_path: Path) -> None:
    labels = load_file(done(tree) / "labels.safetensors")
    built = build(tree, str(tmp_path), ("tests",))
    by_pixels = {int(view_hash(image[None])): image for image in pool()}
    images = torch.stack([by_pixels[int(value)] for value in labels["pixels"]])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (built.data.mean, built.data.std))
    with torch.no_grad():
        logits = built.model.teacher((images / 255 - mean) / std)
    torch.testing.assert_close(labels["logits"], logits)


def test_the_order_and_the_kind_of_the_pool_change_nothing(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    folder = done(tree)
    first = {file: (folder / file).read_bytes() for file in STAYS}
    order = torch.randperm(len(pool()), generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = [pool()[place] for place in order]
    files = sorted(Path(save(tmp_path / "again", shuffled, 4)).rglob("*.png"))
    table = pyarrow.table({"image": [file.read_bytes() for file in files]})
    pyarrow.parquet.write_table(table, tmp_path / "again.parquet")
    for source in ("again", "again.parquet"):
        tree["data"]["init_args"]["unlabelled"] = str(tmp_path / source)
        done(tree)
        for file in STAYS:
            assert (folder / file).read_bytes() == first[file], (source, file)


def test_training_sees_the_selected_images_and_no_label_of_them(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    folder = done(tree)
    data = build(tree, str(tmp_path), ("tests",)).data
    data.setup("fit")
    train = data.pipeline.train
    added = train.ids[train.targets[train.ids] == UNLABELLED]
    chosen = {number(row["pixels"]) for row in rows(folder / "selected.csv")}
    assert set(view_hash(train.images[added]).tolist()) == chosen
    assert len(added) == len(chosen)
    assert len(train.ids) - len(added) == len(LABELLED)


def test_what_the_pool_calls_its_images_does_not_change_the_student(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    weights = []
    for classes in (0, 1):  # flat, and as if all were of the same class
        own = copy.deepcopy(tree)
        source = save(tmp_path / f"pool {classes}", pool(), classes)
        own["data"]["init_args"]["unlabelled"] = source
        done(own)
        runs.fit(own, tmp_path / f"run {classes}", trusted=("tests",), console=QUIET)
        weights.append((tmp_path / f"run {classes}" / "student.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_loss_that_reads_labels_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    done(tree)
    inputs = {"student": "student.logits", "teacher": "teacher.logits", "target": "batch.target"}
    dkd = {"loss": "distill.losses.DKDLoss", "inputs": inputs}
    tree["model"]["init_args"]["losses"] = {"dkd": dkd}
    with pytest.raises(RecipeError, match=r"losses.dkd: .*class numbers in 0..2, got -100"):
        runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)


def test_a_later_step_can_be_done_alone(tree: dict[str, Any], tmp_path: Path) -> None:
    folder = done(tree)
    before = {file: (folder / file).stat().st_mtime_ns for file in STAYS}
    few = {row["pixels"] for row in rows(folder / "selected.csv")}
    done(tree, 9, begin="select")
    after = {file: (folder / file).stat().st_mtime_ns for file in STAYS}
    assert {file for file in STAYS if after[file] != before[file]} == {
        *("select.json", "selected.csv")
    }
    assert few < {row["pixels"] for row in rows(folder / "selected.csv")}
    done(tree, begin="label")
    (folder / "near_duplicates.csv").write_text("unlabelled\n")
    for step in ("label", "select"):
        with pytest.raises(
            RecipeError, match=r"near_duplicates.csv: does not match its hash in clean"
        ):
            done(tree, begin=step)


def test_labels_of_another_pool_are_not_taken(tree: dict[str, Any], tmp_path: Path) -> None:
    done(tree)
    (tmp_path / "pool" / "new.png").write_bytes((tmp_path / "pool" / "000.png").read_bytes())
    with pytest.raises(RecipeError, match="was made from other images: run `distill ssld` aga"):
        done(tree, begin="label")
    with pytest.raises(RecipeError, match=r"data: .* was made from other images"):
        runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)


def test_without_near_duplicates_there_is_no_picture(tree: dict[str, Any]) -> None:
    folder = done(tree)
    assert (folder / "near_duplicates.png").is_file()
    tree["data"]["init_args"]["unlabelled"] = tree["data"]["init_args"]["images"]["init_args"][
        "train"
    ]
    done(tree, bits=0)
    assert rows(folder / "near_duplicates.csv") == []
    assert not (folder / "near_duplicates.png").exists()


def test_a_pool_of_near_duplicates_alone_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["data"]["init_args"]["unlabelled"] = save(tmp_path / "few", planted())
    with pytest.raises(RecipeError, match="all unlabelled images are near duplicates"):
        done(tree)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.selected": None},
            "data.selected: must name a folder, for the files of",
        ),
        ({"model.teacher": None}, "model.teacher: is missing: images are labelled by a teacher"),
        ({"data.unlabelled": "nowhere"}, "data: no such file or folder: nowhere"),
        ({"data": {"class_path": "distill.data.Digits"}}, "data.selected: must name a folder"),
    ],
)
def test_an_unfit_recipe_is_refused(
    tree: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    for key, value in changes.items():
        recipes.put(tree, key, value)
    with pytest.raises(RecipeError) as caught:
        done(tree)
    assert message in str(caught.value)


def test_the_command_tells_what_it_did(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(tree))
    words = ["ssld", str(path), "--trust", "tests", "--seed_everything=3"]
    assert main([*words, "--top_k", "4"]) == 0
    told = capsys.readouterr().out
    n = len(pool())
    assert f"clean    {n} unlabelled images, 1 repeated, " in told
    assert "select   " in told
    command = manifest(tmp_path / "ssld", "select")["command"]
    assert command == f"distill ssld {path} --top_k 4 --bits 6 --trust tests --seed_everything=3"
    for wrong, message in (
        (["--top_k", "0"], "--top_k: must be at least 1, got 0"),
        (["--top_k", "1", "--bits", "126"], "--bits: must be in 0..125, got 126"),
        (["--top_k", "1", "--from", "lable"], "--from: must be one of clean, label, select"),
    ):
        assert main([*words, *wrong]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
