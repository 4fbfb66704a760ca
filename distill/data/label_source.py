"""Images with any number of labels each, as a table names them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from distill.core.suggest import difference
from distill.data.csv_source import PATHS, file_named, find_column, read_rows
from distill.data.files import Files
from distill.data.naming import class_name, shown

LISTS = ("labels", "label", "tags", "classes")
"""What a column of several labels may be called, the first one that is there."""
_IN_FOLDERS, _SEPARATOR = "labels.csv", ";"
_YES, _NO = ("1", "1.0", "true", "yes"), ("", "0", "0.0", "false", "no")


class LabelSource(Files):
    """A CSV with a column of paths, and labels in one of two forms.

    Either a column holds the names of an image's classes with ``;`` between them, none where it has
    none, or every other column is a class and holds 1 or 0.

    Args:
        path: The file (by its ending also TSV), or a folder that holds ``labels.csv``.
        classes: All classes in their order; None: those that are named, in the order of names, or
            the columns in theirs.

    Attributes:
        targets: (n, k), float32: 1 where a class is there.

    Raises:
        ValueError: If a column is missing, or a row names no file, or a class that is not known.
    """

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        path = path / _IN_FOLDERS if path.is_dir() else path
        where = shown(str(path))
        if not path.is_file():
            raise ValueError(f"no such table: {where}; give a CSV, or a folder with {_IN_FOLDERS}")
        rows, header = read_rows(path, where)
        if not rows:
            raise ValueError(f"no images in {where}")
        of_path = find_column(header, None, PATHS, where, "train")
        super().__init__(
            [file_named(path.parent, r.get(of_path), f"{where}: line {n}") for n, r in rows]
        )
        lists = [name for name in header if name in LISTS]
        if lists:
            labels = [_listed(row.get(lists[0])) for _, row in rows]
            found = sorted({label for own in labels for label in own})
        else:
            found = [class_name(name) for name in header if name != of_path]
            labels = [_marked(row, header, of_path, f"{where}: line {n}") for n, row in rows]
        self.classes = tuple(found if classes is None else classes)
        odd = sorted(set(found) - set(self.classes))
        if odd:
            raise ValueError(f"{where} has other classes; {difference(found, self.classes)}")
        if len(self.classes) < 1:
            raise ValueError(f"{where} names no class: give a column of labels, or one per class")
        self.targets = _targets(labels, self.classes)


def _listed(text: str | None) -> list[str]:
    return [class_name(part.strip()) for part in (text or "").split(_SEPARATOR) if part.strip()]


def _marked(row: Mapping[str, str], header: Sequence[str], of_path: str, where: str) -> list[str]:
    """The columns that hold a yes."""
    found = []
    for name in header:
        if name == of_path:
            continue
        value = (row.get(name) or "").strip().lower()
        if value not in (*_YES, *_NO):
            raise ValueError(f"{where} needs 0 or 1 in column {name}, it has {value[:20]!r}")
        if value in _YES:
            found.append(class_name(name))
    return found


def _targets(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> Tensor:
    number = {name: place for place, name in enumerate(classes)}
    targets = torch.zeros(len(labels), len(classes))
    for row, own in zip(targets, labels, strict=True):
        row[[number[label] for label in own]] = 1
    return targets
