"""Masks: image files of class numbers, or shapes that are painted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from distill.core.batch import IGNORED
from distill.core.errors import UnreadableImage
from distill.data.formats import rle
from distill.data.formats.items import Annotations, Item, Shape, images_of, lines_of
from distill.data.naming import shown

_FORMATS = ("PNG", "TIFF", "BMP")
_CITYSCAPES = ("_leftImg8bit.png", "_gtFine_labelTrainIds.png")


def lie_at(path: Path) -> bool:
    """Whether there are mask files: see :func:`read`."""
    listed = path.suffix == ".txt" and path.parts[-3:-1] == ("ImageSets", "Segmentation")
    return listed or path.parent.name == "leftImg8bit" or (path / "masks").is_dir()


def read(path: Path, classes: Sequence[str], remap: Mapping[int, int]) -> Annotations:
    """Pair images with the files of their masks.

    Args:
        path: A folder with ``images`` and ``masks`` of the same names, ``leftImg8bit/PART`` of
            Cityscapes with ``labelTrainIds`` in ``gtFine``, or ``ImageSets/Segmentation/NAME.txt``
            of VOC.
        classes: Their names.
        remap: New numbers of the values of masks.

    Raises:
        ValueError: If a mask is missing, or all have the values 0 and 255 alone.
    """
    name = shown(str(path))
    if not classes:
        raise ValueError(f"{name}: masks have no names of classes: give data.classes")
    pairs = _pairs(path)
    for image, mask in pairs:
        if not mask.is_file():
            raise ValueError(f"{shown(str(image))}: no mask {shown(str(mask))}")
    if not remap and _black_and_white([mask for _, mask in pairs]):
        hint = "for 255 as class 1 give data.remap: {255: 1}"
        raise ValueError(f"{name}: masks have the values 0 and 255 alone; {hint}")
    return Annotations(tuple(classes), tuple(Item(image, mask=mask) for image, mask in pairs))


def mask_of(path: Path, classes: int, remap: Mapping[int, int]) -> Image.Image:
    """A mask of class numbers, 255 where they are not known.

    The values of a palette are its indices. Those that ``remap`` does not name stay.

    Raises:
        UnreadableImage: If the file cannot be read, has colours, or a number that is no class.
    """
    values, name = _values_of(path), shown(str(path))
    found = values.copy()
    for old, new in remap.items():
        found[values == old] = new
    odd = found[(found != IGNORED) & ((found < 0) | (found >= classes))]
    if odd.size:
        told = f"the value {odd[0]} is none of {classes} classes: see data.remap"
        raise UnreadableImage(f"mask {name}: {told}")
    return Image.fromarray(found.astype(np.uint8))


def painted(shapes: Sequence[Shape], size: tuple[int, int]) -> Image.Image:
    """Paint shapes on the ground, 0, from large to small, so that small ones are seen."""
    canvas = Image.new("L", size, 0)
    draw = ImageDraw.Draw(canvas)
    for shape in sorted(shapes, key=lambda shape: -shape.area):
        if shape.runs is not None:
            covered = Image.fromarray(rle.covered(shape.runs, size))
            canvas.paste(shape.label, (0, 0, *size), covered)
        for polygon in shape.polygons:
            draw.polygon(polygon, fill=shape.label)
    return canvas


def _pairs(path: Path) -> list[tuple[Path, Path]]:
    if path.suffix == ".txt":
        folder, names = path.parents[2], [line for _, line in lines_of(path)]
        images, masks = folder / "JPEGImages", folder / "SegmentationClass"
        return [(images / f"{name}.jpg", masks / f"{name}.png") for name in names]
    if path.parent.name == "leftImg8bit":
        images, masks = path, path.parents[1] / "gtFine" / path.name
        ends = _CITYSCAPES
    else:
        images, masks, ends = path / "images", path / "masks", ("", "")
    pairs = []
    for image in images_of(images):
        place = masks / image.relative_to(images)
        own = place.name.replace(*ends) if ends[0] else place.with_suffix(".png").name
        pairs.append((image, place.with_name(own)))
    return pairs


def _values_of(path: Path) -> NDArray[np.int64]:
    """The values of a mask as they are stored (h, w)."""
    name = shown(str(path))
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            mode, values = image.mode, np.asarray(image)
    except (
        *(OSError, ValueError, SyntaxError),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise UnreadableImage(f"cannot read mask {name}: damaged, or no PNG") from error
    if values.ndim != 2 or mode == "F":
        raise UnreadableImage(f"mask {name} is in colours ({mode}): needs one number per pixel")
    return values.astype(np.int64)


def _black_and_white(paths: Sequence[Path]) -> bool:
    """Whether no mask has another value than 0 and 255, and one has 255."""
    white = False
    for path in paths:
        values = set(np.unique(_values_of(path)).tolist())
        if not values <= {0, IGNORED}:
            return False
        white |= IGNORED in values
    return white
