"""Where predictions go: a table on the screen, a CSV, a JSON of each line, or a folder of pictures.

Files are whole or not there: they are written beside their place and moved there in the end.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from PIL import Image

from distill.core.errors import RecipeError
from distill.tasks.tells import Row

TABLE = "predictions.csv"
"""In a folder of pictures."""
_DIGITS = 6


class Prediction(NamedTuple):
    """What the student says of an image.

    Attributes:
        path: The image's file, or its name in an archive.
        row: Values by column, as the task tells them; empty where the image cannot be read.
        error: Why it cannot be read; empty where it can.
        picture: The image with what is said of it, where pictures are asked for.
    """

    path: str
    row: Row
    error: str = ""
    picture: Image.Image | None = None


Write = Callable[[Prediction], None]


def wants_pictures(out: Path | None) -> bool:
    """Whether the place is a folder.

    Raises:
        RecipeError: If it is none of a ``.csv``, a ``.jsonl`` and a folder.
    """
    if out is None or (out.suffix in (".csv", ".jsonl") and not out.is_dir()):
        return False
    if out.is_dir() or not (out.suffix or out.exists()):
        return True
    raise RecipeError("--out", f"must end in .csv or .jsonl, or be a folder, got {out}")


@contextmanager
def writer(out: Path | None) -> Iterator[Write]:
    """Write predictions to a place, one after the other."""
    if out is None:
        yield _on_screen
        return
    pictures = wants_pictures(out)
    file = out / TABLE if pictures else out
    made = not file.parent.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as opened:
            table = _JSONLines(opened) if file.suffix == ".jsonl" else _CSV(opened)
            yield _Pictures(out, table.write).write if pictures else table.write
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
        if made and not any(file.parent.iterdir()):
            file.parent.rmdir()


def _on_screen(prediction: Prediction) -> None:
    if not prediction.error:
        values = "  ".join(_text(value, 3) for value in prediction.row.values())
        sys.stdout.write(f"{prediction.path}  {values}\n")


class _JSONLines:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, prediction: Prediction) -> None:
        error = {"error": prediction.error} if prediction.error else {}
        row = {name: _rounded(value) for name, value in prediction.row.items()}
        line = json.dumps({"path": prediction.path, **row, **error}, ensure_ascii=False)
        self._file.write(f"{line}\n")


class _CSV:
    """A table whose columns the first row with values decides; until then, errors wait."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer: csv.DictWriter[str] | None = None
        self._waiting: list[Prediction] = []

    def write(self, prediction: Prediction) -> None:
        self._waiting.append(prediction)
        if self._writer is None:
            if prediction.error:
                return
            columns = ["path", *prediction.row, "error"]
            self._writer = csv.DictWriter(self._file, columns)
            self._writer.writeheader()
        for each in self._waiting:
            row = {name: _text(value, _DIGITS) for name, value in each.row.items()}
            self._writer.writerow({"path": each.path, **row, "error": each.error})
        self._waiting = []


class _Pictures:
    """A PNG of each image, numbered in order, and a table of them."""

    def __init__(self, folder: Path, table: Write) -> None:
        self._folder, self._table, self._count = folder, table, 0

    def write(self, prediction: Prediction) -> None:
        row: Row = {"picture": ""}
        if prediction.picture is not None:
            self._count += 1
            row["picture"] = f"{self._count:06d}.png"
            prediction.picture.save(self._folder / f"{self._count:06d}.png")
        self._table(prediction._replace(row={**row, **prediction.row}))


def _text(value: str | float | list[str] | list[float], digits: int) -> str:
    if isinstance(value, list):
        return ";".join(_text(each, digits) for each in value)
    return value if isinstance(value, str) else f"{value:.{digits}f}"


def _rounded(value: str | float | list[str] | list[float]) -> object:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value if isinstance(value, str) else round(value, _DIGITS)
