"""Pascal VOC: a folder with ``Annotations``, one XML file per image, and ``JPEGImages``."""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from distill.data.decode import sizes_of
from distill.data.formats.items import Annotations, Box, Item, lines_of, no_area, text_of, within
from distill.data.naming import IMAGE_ENDINGS, class_name, ending, shown

_EDGES = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    name: str
    xyxy: tuple[float, float, float, float]
    difficult: bool


class _File(NamedTuple):
    objects: list[_Object]
    size: tuple[str, str]
    image: str


def read(path: Path) -> Annotations:
    """Read a folder, or a list of it; its classes are the names that occur, sorted.

    Edges count pixels from 1, the last one included. Difficult objects are ignored, parts of
    objects are not read.

    Args:
        path: A folder with ``Annotations`` in it, or ``FOLDER/ImageSets/Main/NAME.txt``.

    Raises:
        ValueError: If something is wrong, with file and entry.
    """
    folder = path.parents[2] if path.suffix == ".txt" else path
    notes = folder / "Annotations"
    if path.suffix == ".txt":
        files = [notes / f"{line.split()[0]}.xml" for _, line in lines_of(path)]
    else:
        files = sorted(notes.glob("*.xml"))
    if not files:
        raise ValueError(f"no XML files in {shown(str(notes))}: needs one for each image")
    found = {file: _read(file) for file in files}
    classes = sorted({one.name for content in found.values() for one in content.objects})
    number = {name: label for label, name in enumerate(classes)}
    images = _images(folder)
    items, dropped = [], 0
    for file, content in found.items():
        image = images.get(file.stem) or images.get(Path(content.image).stem)
        if image is None:
            where = "JPEGImages, images or beside it"
            raise ValueError(f"{shown(str(file))}: no image {shown(file.stem)} in {where}")
        upright, stored = sizes_of(image)
        size = stored if content.size == tuple(map(str, stored)) else upright
        boxes = [Box(one.xyxy, number[one.name], one.difficult) for one in content.objects]
        kept, out = within(boxes, size)
        items.append(Item(image, size, kept))
        dropped += out
    return Annotations(tuple(classes), tuple(items), no_area(dropped, folder), by_occurrence=True)


def _read(file: Path) -> _File:
    name, text = shown(str(file)), text_of(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{name}: document types and entities are not read")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities there is no bomb
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{name}: not XML: {error}") from error
    objects = []
    for place, entry in enumerate(root.findall("object"), 1):
        where = f"{name}: object {place}"
        label = (entry.findtext("name") or "").strip()
        if not label:
            raise ValueError(f"{where}: has no name")
        left, top, right, bottom = (
            _number(entry.findtext(f"bndbox/{edge}"), f"{where}: {edge}") for edge in _EDGES
        )
        if right < left - 1 or bottom < top - 1:
            edges = f"{left:g}, {top:g}, {right:g}, {bottom:g}"
            raise ValueError(f"{where}: its edges are in the wrong order: {edges}")
        difficult = (entry.findtext("difficult") or "").strip() == "1"
        xyxy = (left - 1, top - 1, right, bottom)
        objects.append(_Object(class_name(label), xyxy, difficult))
    width, height = (root.findtext(f"size/{side}") or "" for side in ("width", "height"))
    return _File(objects, (width.strip(), height.strip()), root.findtext("filename") or "")


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise ValueError(f"{where} must be a finite number, got {(text or '').strip()[:40]!r}")
    return value


def _images(folder: Path) -> dict[str, Path]:
    """The images by name without ending; those of ``JPEGImages`` come before others."""
    found: dict[str, Path] = {}
    for place in (folder, folder / "Annotations", folder / "images", folder / "JPEGImages"):
        files = sorted(place.iterdir()) if place.is_dir() else []
        found |= {file.stem: file for file in files if ending(file.name) in IMAGE_ENDINGS}
    return found
