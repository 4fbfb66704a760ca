from pathlib import Path

import numpy as np
import pytest

from distill.core.errors import RecipeError
from distill.tools.named_images import open_images
from tests.fixtures.sources import folder, parquet, pixels, png, tar


def named(*specs: object) -> list[str]:
    return [name for name, _ in open_images([str(spec) for spec in specs])]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    files = {
        "b.png": png(0),
        "a/1.jpg": png(1),
        "a/b/2.png": png(2),
        "a/notes.txt": b"",
        ".h.png": b"",
    }
    return folder(tmp_path / "set", files)


def test_a_folder_has_its_images_at_any_depth(images: Path) -> None:
    assert named(images) == [f"{images}/{name}" for name in ("a/1.jpg", "a/b/2.png", "b.png")]


def test_files_come_in_the_order_they_are_given(images: Path) -> None:
    found = list(open_images([images / "b.png", images / "a"]))
    assert [name for name, _ in found] == [
        f"{images}/{name}" for name in ("b.png", "a/1.jpg", "a/b/2.png")
    ]
    for (_, image), number in zip(found, (0, 1, 2), strict=True):
        assert np.array_equal(image, pixels(number))


def test_a_pattern_matches_images_and_folders_and_no_other_files(images: Path) -> None:
    assert named(f"{images}/a/*") == [f"{images}/a/1.jpg", f"{images}/a/b/2.png"]
    assert named(f"{images}/**/*.png") == [f"{images}/a/b/2.png", f"{images}/b.png"]


def test_a_file_with_the_signs_of_a_pattern_is_itself(tmp_path: Path) -> None:
    path = folder(tmp_path, {"a[1].png": png(0), "a1.png": png(1)}) / "a[1].png"
    assert named(path) == [str(path)]


def test_archives_and_tables_are_read_without_their_labels(tmp_path: Path) -> None:
    archive = tar(tmp_path / "x.tar", {"one.png": png(0), "in/two.png": png(1)})
    table = parquet(tmp_path / "x.parquet", {"image": [png(2)]})
    found = named(archive, table)
    assert len(found) == 3
    assert found[0].endswith("in/two.png")


def test_what_cannot_be_read_is_an_error_in_its_place(tmp_path: Path) -> None:
    files = {"a.png": png(0), "b.png": b"nothing", "c.txt": b"text", "d.png": png(1)}
    folder(tmp_path, files)
    found = list(open_images([tmp_path, tmp_path / "c.txt"]))
    errors = {Path(name).name: str(it) for name, it in found if isinstance(it, ValueError)}
    assert set(errors) == {"b.png", "c.txt"}
    assert errors["b.png"].startswith(f"cannot read image {tmp_path}/b.png: ")
    assert len(found) == 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gone", "no such file or folder"),
        ("gone/*.png", "no such file or folder"),
        ("empty", "no images"),
        ("*.txt", "matches no image"),
        ("bad.tar", "bad.tar"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_read(
    tmp_path: Path, spec: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    folder(tmp_path, {"a.txt": b"", "bad.tar": b"nothing"})
    with pytest.raises(RecipeError, match=message):
        open_images([tmp_path / spec])
