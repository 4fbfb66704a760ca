"""What every format gives: images with their boxes or masks, and the names of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from distill.data.naming import IMAGE_ENDINGS, ending, is_hidden, is_left_by_a_system, shown


class Box(NamedTuple):
    """A box: its edges in pixels of the image, its class, and whether it is left out of figures."""

    xyxy: tuple[float, float, float, float]
    label: int
    ignored: bool = False


class Shape(NamedTuple):
    """What to paint in a mask: polygons of x, y, x, y, ..., or the runs of a run-length code."""

    polygons: tuple[tuple[float, ...], ...]
    runs: tuple[int, ...] | None
    label: int
    area: float


@dataclass(frozen=True)
class Item:
    """An image and what is in it.

    Attributes:
        path: Of the image.
        size: Width and height that its annotations refer to; None: those of its mask.
        boxes: Of its objects.
        shapes: Of its objects, where masks are painted.
        mask: File of its mask, where there is one.
    """

    path: Path
    size: tuple[int, int] | None = None
    boxes: tuple[Box, ...] = ()
    shapes: tuple[Shape, ...] = ()
    mask: Path | None = None


@dataclass(frozen=True)
class Annotations:
    """A set of annotated images.

    Attributes:
        classes: Their names, in the order of their numbers.
        items: The images.
        notes: What is worth telling, one line each.
        by_occurrence: Whether the classes are those that occur, so that another set has others.
    """

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    by_occurrence: bool = False


def numbers(values: object, count: int, where: str) -> tuple[float, ...]:
    """Take finite numbers as they were read.

    Args:
        values: A list, if all is well.
        count: How many are needed.
        where: Names the place in messages.

    Raises:
        ValueError: If they are something else, with their place.

    Example:
        >>> numbers([1, 2.5], 2, "a.json: annotations[0]: size")
        (1.0, 2.5)
    """
    given = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else []
    usual = [v for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(usual) != count or len(given) != count or not all(abs(v) < 1e9 for v in usual):
        raise ValueError(f"{where}: needs {count} finite numbers, got {str(values)[:60]}")
    return tuple(float(value) for value in usual)


def within(boxes: Sequence[Box], size: tuple[int, int]) -> tuple[tuple[Box, ...], int]:
    """Clip boxes to their image; those with area, and the number of the others.

    Example:
        >>> within([Box((-2.0, 1.0, 3.0, 9.0), 0), Box((8.0, 0.0, 9.0, 4.0), 0)], (6, 6))
        ((Box(xyxy=(0.0, 1.0, 3.0, 6.0), label=0, ignored=False),), 1)
    """
    kept = []
    for box in boxes:
        (left, top, right, bottom), (width, height) = box.xyxy, size
        left, right = max(left, 0.0), min(right, float(width))
        top, bottom = max(top, 0.0), min(bottom, float(height))
        if left < right and top < bottom:
            kept.append(box._replace(xyxy=(left, top, right, bottom)))
    return tuple(kept), len(boxes) - len(kept)


def no_area(count: int, path: Path) -> tuple[str, ...]:
    """The line that tells of dropped boxes, where there are any."""
    what = "box without area is" if count == 1 else "boxes without area are"
    return (f"{shown(str(path))}: {count} {what} left out",) if count else ()


def text_of(path: Path) -> str:
    """Read a text file.

    Raises:
        ValueError: If it cannot be read, with its name.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:  # the second: not UTF-8, or a null byte in the path
        detail = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"cannot read {shown(str(path))}: {detail}") from error


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers from 1."""
    lines = enumerate(text_of(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def images_of(folder: Path) -> list[Path]:
    """The images of a folder and the folders in it, by name.

    Raises:
        ValueError: If there are none.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        odd = is_hidden(name) or is_left_by_a_system(name)
        if ending(name) in IMAGE_ENDINGS and not odd:
            found.append(path)
    if not found:
        raise ValueError(f"no images in {shown(str(folder))}")
    return found
