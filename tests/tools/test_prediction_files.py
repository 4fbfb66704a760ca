import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from distill.core.errors import RecipeError
from distill.tools.prediction_files import Prediction, wants_pictures, writer

CAT = Prediction("a.png", {"class": "cat", "probability": 0.75})
BAD = Prediction("b.png", {}, "cannot read image b.png")
SEVERAL = Prediction("c.png", {"labels": ["cat", "dog"], "probabilities": [0.9, 0.1 + 0.2]})


def written(out: Path | None, *predictions: Prediction) -> None:
    with writer(out) as write:
        for prediction in predictions:
            write(prediction)


def test_a_table_has_the_columns_of_the_task_also_behind_an_error(tmp_path: Path) -> None:
    written(tmp_path / "new" / "p.csv", BAD, CAT, BAD)
    with (tmp_path / "new" / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["b.png", "a.png", "b.png"]
    assert rows[1] == {"path": "a.png", "class": "cat", "probability": "0.750000", "error": ""}
    assert rows[0]["error"] == "cannot read image b.png"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p.csv"]


def test_lists_are_joined_in_a_table(tmp_path: Path) -> None:
    written(tmp_path / "p.csv", SEVERAL)
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == ["path,labels,probabilities,error", "c.png,cat;dog,0.900000;0.300000,"]


def test_a_line_of_json_keeps_numbers_and_lists(tmp_path: Path) -> None:
    written(tmp_path / "p.jsonl", CAT, BAD, SEVERAL)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert rows == [
        {"path": "a.png", "class": "cat", "probability": 0.75},
        {"path": "b.png", "error": "cannot read image b.png"},
        {"path": "c.png", "labels": ["cat", "dog"], "probabilities": [0.9, 0.3]},
    ]


def test_pictures_are_numbered_beside_a_table_of_them(tmp_path: Path) -> None:
    drawn = CAT._replace(picture=Image.new("RGB", (3, 2), "red"))
    written(tmp_path / "pictures", BAD, drawn, drawn)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["000001.png", "000002.png", "predictions.csv"]
    assert Image.open(tmp_path / "pictures" / "000002.png").getpixel((0, 0)) == (255, 0, 0)
    with (tmp_path / "pictures" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == ["", "000001.png", "000002.png"]


def test_what_can_be_read_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    written(None, CAT, BAD, SEVERAL)
    assert capsys.readouterr().out == "a.png  cat  0.750\nc.png  cat;dog  0.900;0.300\n"


def stopped(out: Path) -> None:
    with writer(out) as write:
        write(CAT)
        raise RecipeError("a", "stop")


@pytest.mark.parametrize("name", ["new/p.csv", "new/p.jsonl", "new/pictures"])
def test_nothing_is_left_when_it_ends_early(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="stop"):
        stopped(tmp_path / name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_old_table_is_kept_when_it_ends_early(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("old")
    with pytest.raises(RecipeError, match="stop"):
        stopped(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "old"


def test_the_ending_decides(tmp_path: Path) -> None:
    (tmp_path / "v1.0").mkdir()
    (tmp_path / "file").touch()
    assert wants_pictures(tmp_path / "new")
    assert wants_pictures(tmp_path / "v1.0")
    assert not wants_pictures(tmp_path / "p.csv")
    assert not wants_pictures(None)
    for name in ("p.xlsx", "file"):
        with pytest.raises(RecipeError, match=r"--out: must end in \.csv or \.jsonl, or be a fol"):
            wants_pictures(tmp_path / name)
