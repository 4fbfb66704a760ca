"""Archives of pairs: beside each image a file of the same name that holds its label."""

import json
import posixpath
from collections.abc import Callable

from torch import Tensor

from distill.data.classes import by_number, classes_and_targets, label_text
from distill.data.trees import Tree

LABELS = ("label", "target", "fine_label", "cls", "class")
"""Usual names of a field with the label; the first that exists is taken."""


def contents(
    tree: Tree, read: Callable[[str], bytes], labelled: bool, label: str | None = None
) -> tuple[list[str], tuple[str, ...], Tensor]:
    """List the images of an archive in the order of their names, their classes and class numbers.

    Labels are in pairs as webdataset writes them, ``KEY.jpg`` and ``KEY.cls`` (the label as text)
    or ``KEY.json`` (a field of it), a key being all before the name's first dot. JSON files
    are read only where there are no class folders. Otherwise folders name the classes.

    Args:
        tree: Files and folders of the archive.
        read: Reads the bytes of a file in it.
        labelled: Whether to read labels.
        label: The field of a ``KEY.json``; None: the first of ``LABELS`` that exists.

    Raises:
        ValueError: If there are no images, or labels are to be read and there are none.
    """
    images, files = sorted(tree.images()), set(tree.files)
    if not labelled:
        return tree.unlabelled(images)
    end = _ending_of_pairs(images, files)
    if end is None:
        return tree.labelled(images)
    labels = []
    for image in images:
        pair = f"{_key(image)}{end}"
        if pair not in files:
            raise ValueError(f"{tree.top}{image} has no {posixpath.basename(pair)} beside it")
        labels.append(_label(read(pair), end, f"{tree.top}{pair}", label))
    classes, targets = classes_and_targets(labels, tree.where, by_number(labels))
    tree.warn_left_out()
    return images, classes, targets


def _ending_of_pairs(images: list[str], files: set[str]) -> str | None:
    if any(name.endswith(".cls") for name in files):
        return ".cls"
    in_one_folder = len({posixpath.dirname(image) for image in images}) == 1
    return ".json" if in_one_folder and f"{_key(images[0])}.json" in files else None


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _label(data: bytes, end: str, where: str, label: str | None) -> str:
    try:
        text = data.decode()
        fields = json.loads(text) if end == ".json" else {"cls": text}
    except ValueError as error:
        raise ValueError(f"cannot read {where}: {error}") from error
    names = [label] if label and end == ".json" else LABELS
    for name in names:
        if isinstance(fields, dict) and name in fields:
            return label_text(fields[name], where)
    raise ValueError(f"{where} has no field {' or '.join(names)}: set data.label_column")
