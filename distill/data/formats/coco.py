"""COCO: a JSON file of images, categories and annotations."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from distill.core.batch import IGNORED
from distill.data.formats import rle
from distill.data.formats.items import (
    Annotations,
    Box,
    Item,
    Shape,
    no_area,
    numbers,
    text_of,
    within,
)
from distill.data.naming import class_name, shown

_Entry = dict[str, Any]


class _Object(NamedTuple):
    box: Box
    segmentation: object
    where: str


def read(path: Path, masks: bool = False) -> Annotations:
    """Read a COCO file; its classes are in the order of their ids.

    Images lie beside the file, in ``images`` there, or in COCO's own folders.

    Args:
        path: Of the JSON file.
        masks: Whether the shapes of objects are wanted: a class ``ground`` comes before the others.

    Raises:
        ValueError: If something is wrong, with file and entry.
    """
    file, text = shown(str(path)), text_of(path)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    names, label_of = _classes(whole, file)
    images = _by_id(whole, "images", file)
    if not images:
        raise ValueError(f"{file}: no images")
    found: dict[int, list[_Object]] = {number: [] for number in images}
    for place, entry in enumerate(_entries(whole, "annotations", file)):
        where = f"{file}: annotations[{place}]"
        image = _known(entry, "image_id", images, where)
        label = label_of[_known(entry, "category_id", label_of, where)]
        found[image].append(_object(entry, label, where))
    items, dropped = [], 0
    files = [_text(entry, "file_name", f"{file}: image {i}") for i, entry in images.items()]
    folder = _folder(path, files[0])
    for (number, entry), name in zip(images.items(), files, strict=True):
        size, image_path = _size(entry, f"{file}: image {number}"), _inside(folder, name, file)
        boxes, out = within([one.box for one in found[number]], size)
        shapes = tuple(_shape(one, size) for one in found[number]) if masks else ()
        items.append(Item(image_path, size, boxes, shapes))
        dropped += out
    notes = () if masks else no_area(dropped, path)
    return Annotations(("ground", *names) if masks else names, tuple(items), notes)


def _classes(whole: object, file: str) -> tuple[tuple[str, ...], dict[int, int]]:
    categories = _by_id(whole, "categories", file)
    ids = sorted(categories)
    names = tuple(class_name(_text(categories[i], "name", f"{file}: category {i}")) for i in ids)
    if len(set(names)) != len(names) or not names:
        listed = f"got {shown(', '.join(names))[:60]}" if names else "there are none"
        raise ValueError(f"{file}: categories need names of their own, {listed}")
    return names, {number: label for label, number in enumerate(ids)}


def _object(entry: _Entry, label: int, where: str) -> _Object:
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise ValueError(f"{where}: iscrowd must be 0 or 1, got {str(crowd)[:40]}")
    left, top, width, height = numbers(entry.get("bbox"), 4, f"{where}: bbox")
    if width < 0 or height < 0:
        raise ValueError(f"{where}: bbox has a width of {width:g} and a height of {height:g}")
    box = Box((left, top, left + width, top + height), label, bool(crowd))
    return _Object(box, entry.get("segmentation"), where)


def _shape(one: _Object, size: tuple[int, int]) -> Shape:
    """What to paint: crowds as not known, and the classes from 1 on, since 0 is the ground."""
    left, top, right, bottom = one.box.xyxy
    label = IGNORED if one.box.ignored else one.box.label + 1
    area, where = (right - left) * (bottom - top), f"{one.where}: segmentation"
    if isinstance(one.segmentation, dict):
        try:
            return Shape((), rle.runs_of(one.segmentation, size), label, area)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if not isinstance(one.segmentation, list) or not one.segmentation:
        raise ValueError(f"{where}: needs polygons or a run-length code")
    polygons = []
    for polygon in one.segmentation:
        count = len(polygon) if isinstance(polygon, list) else 0
        if count < 6 or count % 2:
            raise ValueError(f"{where}: a polygon needs 3 or more pairs of numbers, has {count}")
        polygons.append(numbers(polygon, count, where))
    return Shape(tuple(polygons), None, label, area)


def _entries(whole: object, key: str, file: str) -> list[_Entry]:
    entries = whole.get(key) if isinstance(whole, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{file}: needs a list of {key}")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{file}: {key}[{place}] is not an object")
    return entries


def _by_id(whole: object, key: str, file: str) -> dict[int, _Entry]:
    found: dict[int, _Entry] = {}
    for place, entry in enumerate(_entries(whole, key, file)):
        number, where = entry.get("id"), f"{file}: {key}[{place}]"
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError(f"{where}: id must be a whole number, got {str(number)[:40]}")
        if number in found:
            raise ValueError(f"{where}: the id {number} is taken already")
        found[number] = entry
    return found


def _known(entry: _Entry, key: str, known: dict[int, Any], where: str) -> int:
    number = entry.get(key)
    if not isinstance(number, int | float) or number not in known:
        kind = "image" if key == "image_id" else "category"
        raise ValueError(f"{where}: no {kind} has the id {str(number)[:40]}")
    return int(number)


def _text(entry: _Entry, key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: needs a {key}, got {str(value)[:40]!r}")
    return value


def _size(entry: _Entry, where: str) -> tuple[int, int]:
    sides = [entry.get("width"), entry.get("height")]
    width, height = numbers(sides, 2, f"{where}: width and height")
    if width < 1 or height < 1:
        raise ValueError(f"{where}: is {width:g} x {height:g} pixels")
    return int(width), int(height)


def _folder(path: Path, first: str) -> Path:
    """The folder that has the first image."""
    above, part = path.parent.parent, path.stem.removeprefix("instances_")
    places = [path.parent, path.parent / "images", above / "images", above / part]
    places.append(above / "images" / part)
    return next((place for place in places if (place / first).is_file()), path.parent)


def _inside(folder: Path, name: str, file: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{file}: file_name {shown(name)} leaves the folder of the images")
    if not (folder / name).is_file():
        raise ValueError(f"{file}: no image {shown(str(folder / name))}")
    return folder / name
