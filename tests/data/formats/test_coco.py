"""COCO files, with the traps that real ones hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from distill.data.formats import coco
from distill.data.formats.masks import painted
from tests.fixtures.annotated import coco_tree, pictures, save_image, write_coco


def written(folder: Path, change: dict[str, Any]) -> Path:
    """A set of one image of 40 x 30 pixels with the given annotation."""
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    entry = {"id": 0, "image_id": 5, "category_id": 9, "bbox": [1, 2, 10, 12], "iscrowd": 0}
    tree = {
        "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 9, "name": "cat"}, {"id": 4, "name": "dog"}],
        "annotations": [entry | change],
    }
    path = folder / "set.json"
    path.write_text(json.dumps(tree))
    return path


def test_classes_are_numbered_in_the_order_of_ids_with_gaps(tmp_path: Path) -> None:
    found = coco.read(written(tmp_path, {}))
    assert found.classes == ("dog", "cat")
    assert found.items[0].boxes == (((1.0, 2.0, 11.0, 14.0), 1, False),)
    assert found.notes == ()


def test_crowds_are_ignored_and_images_without_boxes_kept(tmp_path: Path) -> None:
    given = pictures(5)
    found = coco.read(write_coco(tmp_path, given))
    assert [item.path.stem for item in found.items] == [one.name for one in given]
    assert found.items[-1].boxes == ()
    ignored = [[box.ignored for box in item.boxes] for item in found.items]
    assert ignored == [[box[2] for box in one.boxes] for one in given]


def test_boxes_are_clipped_and_those_without_area_told_in_a_line(tmp_path: Path) -> None:
    found = coco.read(written(tmp_path, {"bbox": [-4, 25, 50, 50]}))
    assert found.items[0].boxes[0].xyxy == (0.0, 25.0, 40.0, 30.0)
    for empty in ([5, 5, 0, 9], [41, 2, 5, 5]):
        found = coco.read(written(tmp_path, {"bbox": empty}))
        assert found.items[0].boxes == ()
        assert found.notes == (f"{tmp_path / 'set.json'}: 1 box without area is left out",)


@pytest.mark.parametrize("place", ["images", "../images", "../train2017", "../images/train2017"])
def test_images_lie_in_the_usual_places(place: str, tmp_path: Path) -> None:
    given = pictures(2)
    notes = tmp_path / "annotations"
    notes.mkdir()
    for picture in given:
        save_image(picture, notes / place / f"{picture.name}.png")
    path = notes / "instances_train2017.json"
    path.write_text(json.dumps(coco_tree(given)))
    found = coco.read(path).items[0].path
    assert found.resolve() == (notes / place / "image0.png").resolve()


@pytest.mark.parametrize("compressed", [True, False])
def test_run_length_codes_cover_what_pycocotools_says(compressed: bool, tmp_path: Path) -> None:
    covered = np.random.default_rng(0).random((30, 40)) < 0.4
    code = coco_mask.encode(np.asfortranarray(covered.astype(np.uint8)))
    runs = code["counts"].decode()
    if not compressed:
        column, counts, last = covered.T.ravel(), [], False
        starts = [0]
        for place, value in enumerate(column):
            if value != last:
                starts.append(place)
                last = value
        starts.append(len(column))
        counts = np.diff(starts).tolist()
        runs = counts
    crowd = {"segmentation": {"size": [30, 40], "counts": runs}, "iscrowd": 1}
    found = coco.read(written(tmp_path, crowd), masks=True)
    assert found.classes == ("ground", "dog", "cat")
    mask = np.asarray(painted(found.items[0].shapes, (40, 30)))
    assert np.array_equal(mask == 255, covered)


def test_small_shapes_are_painted_over_large_ones(tmp_path: Path) -> None:
    path = written(tmp_path, {"segmentation": [[1, 2, 10, 2, 10, 13, 1, 13]]})
    tree = json.loads(path.read_text())
    large = {"id": 1, "image_id": 5, "category_id": 4, "bbox": [0, 0, 40, 30]}
    large |= {"segmentation": [[0, 0, 39, 0, 39, 29, 0, 29]]}
    tree["annotations"].append(large)
    path.write_text(json.dumps(tree))
    mask = np.asarray(painted(coco.read(path, masks=True).items[0].shapes, (40, 30)))
    assert np.array_equal(mask == 2, np.pad(np.ones((12, 10), bool), ((2, 16), (1, 29))))
    assert (mask[mask != 2] == 1).all()
