"""Images listed in a table of paths and labels."""

import csv
from pathlib import Path

from distill.data.classes import by_number, classes_and_targets, label_text, without_labels
from distill.data.files import Files
from distill.data.naming import shown
from distill.data.pairs import LABELS

PATHS = ("path", "file", "filename", "file_name", "image", "img")
"""Usual names of a column of paths; the first that exists is taken."""


class CSVSource(Files):
    """A CSV file (or, by its ending, TSV) with a header, a column of paths and one of labels.

    Paths are relative to the file's folder. Labels are the classes, whole numbers in their order.

    Args:
        path: The file.
        labelled: Whether to read labels.
        image: The column of paths; None: the first of ``PATHS`` that exists.
        label: The column of labels; None: the first of ``LABELS`` that exists.

    Raises:
        ValueError: If a column is missing, or a row names no file or no label.
    """

    def __init__(
        self,
        path: Path,
        labelled: bool = True,
        image: str | None = None,
        label: str | None = None,
    ) -> None:
        where = shown(str(path))
        rows, header = read_rows(path, where)
        of_path = find_column(header, image, PATHS, where, "image_column")
        of_label = find_column(header, label, LABELS, where, "label_column") if labelled else ""
        files, labels = list[Path](), list[str]()
        for line, row in rows:
            files.append(file_named(path.parent, row.get(of_path), f"{where}: line {line}"))
            if labelled:
                labels.append(label_text(row.get(of_label), f"{where}: line {line}"))
        if labelled:
            found = classes_and_targets(labels, where, by_number(labels))
        else:
            found = without_labels(len(files), where)
        super().__init__(files)
        self.classes, self.targets = found


def read_rows(path: Path, where: str) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Read the rows with their line numbers, and the names of the columns."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
            return [(reader.line_num, row) for row in reader], list(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"cannot read {where}: {error}") from error


def find_column(
    header: list[str], given: str | None, names: tuple[str, ...], where: str, key: str
) -> str:
    """The column that is given, or the first of these names that the header has.

    Raises:
        ValueError: If there is none.
    """
    wanted = names if given is None else (given,)
    for name in wanted:
        if name in header:
            return name
    have = shown(", ".join(header))
    raise ValueError(f"{where} needs a column {' or '.join(wanted)}, it has {have}: set data.{key}")


def file_named(folder: Path, name: str | None, where: str) -> Path:
    """The file that a row names.

    Raises:
        ValueError: If there is none.
    """
    file = folder / (name or "").strip()
    if not file.is_file():
        raise ValueError(f"{where} names {shown(str(file))}, which is no file")
    return file
