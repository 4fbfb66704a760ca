"""Annotations in the format that lies at a path."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distill.data.formats import coco, masks, voc, yolo
from distill.data.formats.items import Annotations
from distill.data.formats.yolo import Part
from distill.data.naming import shown

_TAKEN = (
    "needs COCO (.json), YOLO (.yaml), a folder with Annotations (VOC), or with images and masks"
)


def annotations(
    path: Path, part: Part, painted: bool, classes: Sequence[str], remap: Mapping[int, int]
) -> Annotations:
    """Read a set in the format that lies at a path.

    Args:
        path: A file or a folder.
        part: Which of several that a file names.
        painted: Whether masks are wanted, not boxes.
        classes: Names of the classes of mask files.
        remap: New numbers of the values of mask files.

    Raises:
        ValueError: If there is none, it does not have what is wanted, or something is wrong in it.
    """
    name = shown(str(path))
    if not path.exists():
        raise ValueError(f"nothing lies at {name}: {_TAKEN}")
    if masks.lie_at(path) and painted:
        return masks.read(path, classes, remap)
    if path.suffix == ".json":
        return coco.read(path, painted)
    if painted:
        told = "masks come from COCO (.json), or a folder with images and masks"
        raise ValueError(f"no masks at {name}: {told}")
    if path.suffix in (".yaml", ".yml"):
        return yolo.read(path, part)
    if path.parts[-3:-1] == ("ImageSets", "Main") or (path / "Annotations").is_dir():
        return voc.read(path)
    raise ValueError(f"no boxes at {name}: {_TAKEN}")
