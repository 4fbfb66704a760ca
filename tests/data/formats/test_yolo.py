"""YOLO sets: shares of upright images, polygons, parts in several forms."""

from pathlib import Path

import pytest
from PIL import Image

from distill.data.formats import yolo
from tests.fixtures.annotated import CLASSES, pictures, write_yolo


def written(folder: Path, line: str, names: str = "[cat, dog]") -> Path:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    notes = Image.Exif()
    notes[0x0112] = 6
    Image.new("RGB", (40, 20)).save(folder / "images" / "a.jpg", exif=notes)
    (folder / "labels" / "a.txt").write_text(line)
    (folder / "data.yaml").write_text(f"names: {names}\ntrain: images\n")
    return folder / "data.yaml"


def test_shares_are_of_the_upright_image(tmp_path: Path) -> None:
    (item,) = yolo.read(written(tmp_path, "1 0.5 0.5 0.5 0.25\n"), "train").items
    assert item.size == (20, 40)
    assert item.boxes == (((5.0, 15.0, 15.0, 25.0), 1, False),)


def test_a_polygon_becomes_its_box(tmp_path: Path) -> None:
    (item,) = yolo.read(written(tmp_path, "0 0.5 0.1 1.0005 0.5 0.25 0.75"), "train").items
    assert item.boxes == (((5.0, 4.0, 20.0, 30.0), 0, False),)


def test_names_are_a_list_or_a_map(tmp_path: Path) -> None:
    path = written(tmp_path, "", "{1: dog, 0: cat}")
    assert yolo.read(path, "train").classes == ("cat", "dog")


@pytest.mark.parametrize("form", ["list.txt", "../images/train", "[images/train]"])
def test_a_part_has_several_forms(form: str, tmp_path: Path) -> None:
    path = write_yolo(tmp_path, pictures(3))
    (tmp_path / "list.txt").write_text("".join(f"./images/train/image{i}.png\n" for i in range(3)))
    path.write_text(f"path: elsewhere\nnames: {list(CLASSES)}\ntrain: {form}\n")
    found = yolo.read(path, "train")
    assert [item.path.stem for item in found.items] == ["image0", "image1", "image2"]
    assert len(found.items[0].boxes) > 0


def test_images_without_a_text_file_are_told_in_a_line(tmp_path: Path) -> None:
    path = write_yolo(tmp_path, pictures(3))
    (tmp_path / "labels" / "train" / "image1.txt").unlink()
    found = yolo.read(path, "train")
    assert found.items[1].boxes == ()
    assert found.notes == (f"{path}: 1 of 3 images of train have no text file",)
