"""YOLO: a YAML file that names folders of images, with a text file of boxes for each."""

from pathlib import Path
from typing import Literal

from distill.core.echo import short
from distill.core.strict_yaml import read_yaml
from distill.data.decode import sizes_of
from distill.data.formats.items import (
    Annotations,
    Box,
    Item,
    images_of,
    lines_of,
    no_area,
    numbers,
    within,
)
from distill.data.naming import class_name, shown

Part = Literal["train", "val", "test"]
_SLACK = 1e-3


def read(path: Path, part: Part) -> Annotations:
    """Read a part of a YOLO set; an image without a text file has no objects.

    A part is a folder of images, a text file that lists images, or a list of these. Text files are
    in ``labels`` where images are in ``images``, else beside them. Polygons become boxes.

    Args:
        path: Of the YAML file.
        part: Which of its parts.

    Raises:
        ValueError: If something is wrong, with file and line.
    """
    file, whole = shown(str(path)), read_yaml(path)
    if not isinstance(whole, dict):
        raise ValueError(f"{file}: needs names and {part}")
    classes = _names(whole.get("names"), file)
    items, dropped, missing = [], 0, 0
    for image in _images(whole, path, part):
        text = _text_file(image)
        size, lines = sizes_of(image)[0], lines_of(text) if text.is_file() else []
        where = f"{shown(str(text))}: line"
        given = [_box(line, len(classes), size, f"{where} {number}") for number, line in lines]
        boxes, out = within(given, size)
        items.append(Item(image, size, boxes))
        dropped += out
        missing += not text.is_file()
    notes = no_area(dropped, path)
    if missing:
        notes += (f"{file}: {missing} of {len(items)} images of {part} have no text file",)
    return Annotations(classes, tuple(items), notes)


def _names(names: object, file: str) -> tuple[str, ...]:
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise ValueError(f"{file}: names must be numbered from 0 without holes")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        kind = short(str(names), 40)
        raise ValueError(f"{file}: names must be a list or a map of class names, got {kind}")
    found = tuple(class_name(str(name)) for name in names)
    if len(set(found)) != len(found):
        raise ValueError(f"{file}: names has a name twice: {shown(', '.join(found))[:60]}")
    return found


def _images(whole: dict[str, object], path: Path, part: Part) -> list[Path]:
    given = whole.get(part)
    listed = given if isinstance(given, list) else [given]
    root = path.parent / str(whole.get("path") or "")
    root = root if root.is_dir() else path.parent
    found: list[Path] = []
    for name in listed:
        if not isinstance(name, str) or not name:
            what = short(str(name), 40)
            raise ValueError(f"{shown(str(path))}: {part} must be a folder, got {what}")
        place = root / name
        if not place.exists():  # as exported for a program that runs one folder below
            place = root / name.removeprefix("../")
        found += _listed(place) if place.is_file() else images_of(place)
    return found


def _listed(file: Path) -> list[Path]:
    found = []
    for number, line in lines_of(file):
        if not (file.parent / line).is_file():
            raise ValueError(f"{shown(str(file))}: line {number}: no image {shown(line)[:120]}")
        found.append(file.parent / line)
    return found


def _text_file(image: Path) -> Path:
    parts = list(image.with_suffix(".txt").parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _box(line: str, classes: int, size: tuple[int, int], where: str) -> Box:
    words = line.split()
    try:
        values = numbers([float(word) for word in words], len(words), where)
    except ValueError:
        raise ValueError(f"{where}: needs finite numbers, got {shown(line)[:60]}") from None
    polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) != 5 and not polygon:
        raise ValueError(f"{where}: needs a class and 4 numbers, or a polygon, has {len(values)}")
    label, shares = values[0], values[1:]
    if label not in range(classes):
        raise ValueError(f"{where}: the class must be in 0..{classes - 1}, got {label:g}")
    if min(shares) < -_SLACK or max(shares) > 1 + _SLACK:
        raise ValueError(f"{where}: needs shares in 0..1, not pixels, got {shown(line)[:60]}")
    if polygon:
        across, down = shares[::2], shares[1::2]
        left, top, right, bottom = min(across), min(down), max(across), max(down)
    else:
        x, y, w, h = shares
        left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    width, height = size
    return Box((left * width, top * height, right * width, bottom * height), int(label))
