"""Files of masks: their values as they are stored, and the layouts that are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill.core.errors import UnreadableImage
from distill.data.formats import masks

VALUES = np.array([[0, 1, 2], [3, 255, 1]])


def saved(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def with_palette() -> Image.Image:
    image = Image.fromarray(VALUES.astype(np.uint8), "P")
    image.putpalette([*range(255, -1, -1)] * 3)
    return image


@pytest.mark.parametrize(
    "image",
    [
        with_palette(),
        Image.fromarray(VALUES.astype(np.uint8)),
        Image.fromarray(VALUES.astype(np.uint16)),
    ],
    ids=["palette", "8 bits", "16 bits"],
)
def test_values_are_those_that_are_stored(image: Image.Image, tmp_path: Path) -> None:
    found = masks.mask_of(saved(tmp_path / "m.png", image), 4, {})
    assert np.array_equal(np.asarray(found), VALUES)


def test_remapped_values_do_not_meet(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", Image.fromarray(VALUES.astype(np.uint8)))
    found = np.asarray(masks.mask_of(path, 3, {0: 255, 1: 0, 2: 1, 3: 2}))
    assert np.array_equal(found, [[255, 0, 1], [2, 255, 0]])
    large = saved(tmp_path / "l.png", Image.fromarray(np.full((2, 2), 26001, np.uint16)))
    assert (np.asarray(masks.mask_of(large, 2, {26001: 1})) == 1).all()
    bits = saved(tmp_path / "b.png", Image.fromarray(np.eye(3, dtype=bool)))
    assert np.array_equal(np.asarray(masks.mask_of(bits, 2, {})), np.eye(3))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (2, 2)), r"is in colours \(RGB\)"),
        (Image.new("L", (2, 2), 7), "the value 7 is none of 4 classes: see data.remap$"),
    ],
)
def test_what_is_no_mask_is_told(image: Image.Image, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", image)
    with pytest.raises(UnreadableImage, match=message):
        masks.mask_of(path, 4, {})
    (tmp_path / "n.png").write_text("no image")
    with pytest.raises(UnreadableImage, match=r"n\.png: damaged, or no PNG$"):
        masks.mask_of(tmp_path / "n.png", 4, {})


LAYOUTS: dict[str, tuple[str, str, str]] = {
    "pairs": ("set", "set/images/day/a.jpg", "set/masks/day/a.png"),
    "cityscapes": (
        "leftImg8bit/train",
        "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png",
        "gtFine/train/ulm/ulm_1_gtFine_labelTrainIds.png",
    ),
    "voc": (
        "VOC2012/ImageSets/Segmentation/train.txt",
        "VOC2012/JPEGImages/a.jpg",
        "VOC2012/SegmentationClass/a.png",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_known_layouts(layout: tuple[str, str, str], tmp_path: Path) -> None:
    place, image, mask = (tmp_path / part for part in layout)
    saved(image, Image.new("RGB", (3, 2)))
    saved(mask, with_palette())
    if place.suffix:
        place.parent.mkdir(parents=True)
        place.write_text("a\n")
    assert masks.lie_at(place)
    (item,) = masks.read(place, ("a", "b", "c", "d"), {}).items
    assert (item.path, item.mask) == (image, mask)


def test_white_masks_are_told_with_a_hint(tmp_path: Path) -> None:
    black, white = np.zeros((2, 3), np.uint8), np.array([[0, 255, 0]] * 2, np.uint8)
    for name, values in (("a", black), ("b", white)):
        saved(tmp_path / "images" / f"{name}.png", Image.new("RGB", (3, 2)))
        saved(tmp_path / "masks" / f"{name}.png", Image.fromarray(values))
    arguments: Any = (tmp_path, ("ground", "thing"))
    with pytest.raises(ValueError, match=r"give data\.remap: \{255: 1\}$"):
        masks.read(*arguments, {})
    assert len(masks.read(*arguments, {255: 1}).items) == 2
    saved(tmp_path / "masks" / "a.png", Image.fromarray(black + 1))
    assert len(masks.read(*arguments, {}).items) == 2
