import json
from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.core.preprocessing import FILE, read_preprocessing
from tests.fixtures.students import known


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resize": "crop"},
        {"resize": None},
        {"channels": 1, "mean": (0.5,), "std": (0.1,), "size": (16, 96), "task": "TextLines"},
    ],
)
def test_what_is_written_is_read(tmp_path: Path, changes: dict[str, object]) -> None:
    written = known(**changes)
    (tmp_path / FILE).write_text(written.text())
    assert read_preprocessing(tmp_path) == written


def test_it_tells_all_that_becomes_of_an_image() -> None:
    facts = known(resize="crop").facts()
    assert facts["size"] == (14, 14)
    assert (facts["mode"], facts["range"], facts["crop_share"]) == ("RGB", [0, 1], 0.875)
    assert facts["normalization"] == "outside"
    assert known().facts(inside=True)["normalization"] == "inside"
    assert known().facts()["crop_share"] is None
    assert known(channels=1).facts()["mode"] == "L"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("channels", 2, "channels must be 1 or 3"),
        ("size", [0, 4], "sizes at least 1"),
        ("size", 4, "not iterable"),
        ("resize", "stretch", "no such rule of resizing: stretch"),
        ("mean", [0.5], "a finite number for each channel"),
        ("std", [1.0, 1.0, float("nan")], "a finite number for each channel"),
    ],
)
def test_what_cannot_be_is_told_with_the_file(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    path = tmp_path / FILE
    path.write_text(json.dumps(known().facts() | {name: value}))
    with pytest.raises(RecipeError, match=message) as caught:
        read_preprocessing(tmp_path)
    assert caught.value.key == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "[" * 100_000])
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RecipeError, match="is not the preprocessing of a run"):
        read_preprocessing(tmp_path)


def test_a_run_of_an_earlier_version_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"preprocess\.json: is missing: an earlier version"):
        read_preprocessing(tmp_path)
