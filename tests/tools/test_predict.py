import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.cli import main
from distill.core.errors import RecipeError
from distill.tools import predict as module
from distill.tools.predict import predict, predictions
from tests.fixtures.runs import QUIET
from tests.fixtures.students import Columns, Means, known, write_student

TRUST = ("tests",)
COLORS = {"a": (250, 0, 0), "b": (0, 250, 0), "c": (0, 0, 250)}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names the brightest channel of an image."""
    return write_student(tmp_path_factory.mktemp("predict") / "run", Means(), known())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A red, a green and a blue image of three sizes, and a damaged one among them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for size, (name, color) in zip([(14, 14), (9, 30), (50, 20)], COLORS.items(), strict=True):
        Image.new("RGB", size, color).save(folder / f"{name}.png")
    (folder / "b2.png").write_bytes(b"nothing")
    return folder


def test_a_row_has_the_most_probable_classes(run_dir: Path, images: Path) -> None:
    found = list(predictions(run_dir, [images], most=2, trusted=TRUST))
    assert [Path(each.path).name for each in found] == ["a.png", "b.png", "b2.png", "c.png"]
    assert [each.row.get("class") for each in found] == ["red", "green", None, "blue"]
    assert found[2].error.startswith(f"cannot read image {images}/b2.png: ")
    logits = (torch.tensor([250 / 255, 0, 0]) - 0.5) / 0.25
    shares = logits.softmax(0)
    assert found[0].row["probability"] == pytest.approx(shares[0].item(), abs=1e-6)
    assert found[0].row["probability_2"] == pytest.approx(shares[1].item(), abs=1e-6)
    assert "class_3" not in found[0].row


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_the_batch_does_not_matter(
    run_dir: Path, images: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [each.row for each in predictions(run_dir, [images], trusted=TRUST)]
    monkeypatch.setattr(module, "_BATCH", batch)
    found = [each.row for each in predictions(run_dir, [images], trusted=TRUST)]
    assert [row.get("class") for row in found] == [row.get("class") for row in whole]
    assert found[0]["probability"] == pytest.approx(whole[0]["probability"], abs=1e-6)


def test_no_more_than_a_batch_is_read_ahead(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    read = []
    for number in range(6):
        Image.new("RGB", (14, 14), (number, 0, 0)).save(tmp_path / f"{number}.png")
    pixels = module._pixels
    monkeypatch.setattr(module, "_pixels", lambda *arguments: read.append(1) or pixels(*arguments))
    found = predictions(run_dir, [tmp_path], trusted=TRUST)
    assert len(read) == 0
    next(found)
    assert len(read) == 2
    assert len(list(found)) == 5


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
def test_images_are_resized_as_the_run_did(tmp_path: Path, resize: str) -> None:
    run = write_student(tmp_path / "run", Means(), known(resize=resize))
    Image.new("RGB", (56, 14), (255, 255, 255)).save(tmp_path / "wide.png")
    (found,) = predictions(run, [tmp_path / "wide.png"], pictures=True, trusted=TRUST)
    seen = np.asarray(found.picture)[: 14 * 13, :, 0]  # drawn 13 times as large, text below
    black = (seen[:, 0] == 0).mean()
    assert black == pytest.approx(0 if resize == "squash" else 10 / 14, abs=0.01)


def test_the_command_writes_a_table_and_counts(
    run_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.csv"
    command = ["predict", str(run_dir), str(images), "--out", str(out), "--trust", "tests"]
    assert main(command) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["red", "green", "", "blue"]
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"cannot read image {images}/b2.png: ")
    assert told[1] == f"images   3 told, 1 could not be read  {out}"


def test_the_command_prints_a_row_for_each_image(
    run_dir: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"{images}/c*", str(images / "a.png"), "--top", "1", "--trust", "tests"]
    assert main(["predict", str(run_dir), *given]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        [f"{images}/c.png", "blue"],
        [f"{images}/a.png", "red"],
    ]


def test_pictures_show_what_is_said(run_dir: Path, images: Path, tmp_path: Path) -> None:
    counts = predict(run_dir, [images], tmp_path / "pictures", trusted=TRUST, console=QUIET)
    assert counts == (3, 1)
    first = Image.open(tmp_path / "pictures" / "000001.png")
    assert first.getpixel((0, 0)) == COLORS["a"]
    assert (np.asarray(first)[-20:] < 100).any()  # a line of black text


def test_several_labels_are_those_above_one_half(tmp_path: Path) -> None:
    run = write_student(tmp_path / "run", Means(), known(), "MultiLabelImages")
    Image.new("RGB", (14, 14), (200, 0, 255)).save(tmp_path / "a.png")
    Image.new("RGB", (14, 14), (0, 0, 0)).save(tmp_path / "b.png")
    out = tmp_path / "p.jsonl"
    predict(run, [tmp_path / "a.png", tmp_path / "b.png"], out, 1, TRUST, QUIET)
    both, none = (json.loads(line) for line in out.read_text().splitlines())
    assert both["labels"] == ["blue", "red"]
    expected = torch.tensor([(1 - 0.5) / 0.25, (200 / 255 - 0.5) / 0.25]).sigmoid()
    assert both["probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert none["labels"] == []


def test_lines_of_text_are_read(tmp_path: Path) -> None:
    shape = {"channels": 1, "size": (4, 6), "mean": (0.0,), "std": (1.0,)}
    lines = known(task="TextLines", classes=("", "a", "b"), **shape)
    run = write_student(tmp_path / "run", Columns(), lines, "TextLines")
    shades = np.repeat([[128, 128, 0, 128, 255, 0]], 4, 0).astype(np.uint8)
    Image.fromarray(shades).save(tmp_path / "a.png")
    (found,) = predictions(run, [tmp_path / "a.png"], trusted=TRUST)
    assert found.row == {"text": "aab"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], r"^gone\.png: no such file or folder$"),
        (["."], r"^images: none can be read, of 1$"),
        ([".", "--top", "0"], r"^--top: must be at least 1, got 0$"),
        ([".", "--out", "x.xlsx"], r"^--out: must end in"),
    ],
)
def test_what_cannot_be_told_ends_with_exit_code_2(
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(run_dir), *arguments, "--trust", "tests"]) == 2
    last = capsys.readouterr().err.splitlines()[-1].removeprefix("distill: ")
    assert re.search(message, last)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


def test_an_unknown_rule_of_resizing_is_not_guessed(tmp_path: Path, images: Path) -> None:
    run = write_student(tmp_path / "run", Means(), known(resize=None))
    with pytest.raises(RecipeError, match="does not say how images are resized"):
        predictions(run, [images], trusted=TRUST)


def test_a_task_that_tells_nothing_is_named(
    run_dir: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("distill.tasks.Classification.rows")
    with pytest.raises(RecipeError, match=r"data\.task: Classification lacks rows and pictures"):
        predictions(run_dir, [images], trusted=TRUST)


def test_an_unfinished_run_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match="is missing: not the directory of a finished run"):
        predictions(tmp_path, [images])
