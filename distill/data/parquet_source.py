"""Images in parquet files: encoded, in one column, with labels in another."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from distill.data.classes import by_number, classes_and_targets, label_text, without_labels
from distill.data.decode import decode
from distill.data.files import stamp_of
from distill.data.naming import class_name, shown
from distill.data.pairs import LABELS

if TYPE_CHECKING:
    import pyarrow

IMAGES = ("image", "img")
"""Usual names of a column of images; the first that exists is taken."""


class ParquetSource:
    """Parquet files with a column of encoded images and, where ``labelled``, one of labels.

    Images are bytes, or structs with ``bytes``. A column that is not named is the first of
    ``IMAGES`` or ``LABELS`` that exists, or else the only one that the schema's metadata call an
    image, or a label, as the Hugging Face hub writes them. Where these name the classes, labels are
    their numbers; other labels are the classes themselves, whole numbers in their order.

    Args:
        paths: The files, concatenated in this order.
        labelled: Whether to read labels.
        image: The column of images; None: found as above.
        label: The column of labels; None: found as above.

    Raises:
        ValueError: If a file is damaged, a column is missing, or a row lacks an image or a label.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labelled: bool = True,
        image: str | None = None,
        label: str | None = None,
    ) -> None:
        self._paths, self._columns = tuple(paths), list[str]()
        self._images = list["pyarrow.ChunkedArray"]()
        self._starts, labels, names = [0], list[str](), None
        for path in paths:
            file = _File(path, image, label, labelled)
            self._images.append(file.images())
            self._columns.append(file.image)
            self._starts.append(self._starts[-1] + len(self._images[-1]))
            if labelled:
                own, names = file.labels()
                labels += own
        where = shown(str(paths[0] if len(paths) == 1 else paths[0].parent))
        if labelled:
            found = classes_and_targets(labels, where, names or by_number(labels))
        else:
            found = without_labels(self._starts[-1], where)
        self.classes, self.targets = found

    def name(self, index: int) -> str:
        """Path of the file and number of the row."""
        part = bisect_right(self._starts, index) - 1
        return f"{shown(str(self._paths[part]))}: row {index - self._starts[part]}"

    def image(self, index: int) -> Image.Image:
        """Decode one row."""
        part = bisect_right(self._starts, index) - 1
        return decode(self._images[part][index - self._starts[part]].as_py(), self.name(index))

    def stamp(self) -> str:
        """List names, sizes and times of the files, and the column of images."""
        return " ".join([*map(stamp_of, self._paths), *self._columns])


class _File:
    """One parquet file, of which only the columns that are used are read."""

    def __init__(self, path: Path, image: str | None, label: str | None, labelled: bool) -> None:
        self._where = shown(str(path))
        try:
            import pyarrow.parquet
        except ImportError as error:
            message = "needs pyarrow: pip install 'distill[parquet]'"
            raise ValueError(f"{self._where} {message}") from error
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                self._have, self._features = _described(file.schema_arrow)
                self.image = self._column(image, IMAGES, "Image", "image_column")
                self._label = ""
                if labelled:
                    self._label = self._column(label, LABELS, "ClassLabel", "label_column")
                wanted = [self.image, *([self._label] if labelled else [])]
                self._table = file.read(columns=wanted)
        except (pyarrow.ArrowException, OSError) as error:
            detail = " ".join(str(error).split())
            raise ValueError(f"damaged parquet file: {self._where} ({detail})") from error

    def images(self) -> "pyarrow.ChunkedArray":
        """Read the column of images, each row with bytes."""
        import pyarrow as pa

        column = self._table[self.image]
        kind, data = column.type, column
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            import pyarrow.compute

            data = pyarrow.compute.struct_field(column, "bytes")
        may = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
        if len(column) and not any(is_one(data.type) for is_one in may):
            message = f"needs bytes of image files, row 0 has {kind}"
            raise ValueError(f"{self._where}: column {self.image} {message}")
        for row in _nulls(data):
            value = column[row].as_py()
            path = value.get("path") if isinstance(value, dict) else None
            held = f", only the path {shown(str(path))}" if path else ""
            raise ValueError(f"{self._where}: row {row} holds no image{held}")
        return data

    def labels(self) -> tuple[list[str], list[str] | None]:
        """Read the class of each row, and all classes in order where the file names them."""
        names = _class_names(self._features.get(self._label))
        labels = []
        for row, value in enumerate(self._table[self._label].to_pylist()):
            where = f"{self._where}: row {row}"
            label = label_text(value, where)
            if names and not isinstance(value, str):
                if int(label) >= len(names):
                    known = f"the file names {len(names)} classes"
                    raise ValueError(f"{where} has the label {label}, but {known}")
                label = names[int(label)]
            labels.append(label)
        return labels, names

    def _column(self, given: str | None, names: Sequence[str], kind: str, key: str) -> str:
        wanted = names if given is None else (given,)
        found = [name for name in wanted if name in self._have]
        if not found and given is None:
            found = [name for name, feature in self._features.items() if _is(feature, kind)]
            found = found if len(found) == 1 else []
        if found:
            return found[0]
        have, names = ", ".join(map(shown, self._have)), " or ".join(wanted)
        raise ValueError(
            f"{self._where} needs a column named {names}, it has {have}: set data.{key}"
        )


def _described(schema: "pyarrow.Schema") -> tuple[list[str], dict[str, Any]]:
    """List the columns, and the Hugging Face hub's metadata of each."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = about["info"]["features"]
    except (ValueError, KeyError, TypeError):
        features = {}
    have = list(schema.names)
    return have, {name: features[name] for name in have if name in features}


def _is(feature: object, kind: str) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == kind


def _class_names(feature: Any) -> list[str] | None:  # noqa: ANN401 - whatever JSON holds
    if not _is(feature, "ClassLabel") or not isinstance(feature.get("names"), list):
        return None
    names = [class_name(str(name)) for name in feature["names"]]
    return names if len(set(names)) == len(names) else None


def _nulls(column: "pyarrow.ChunkedArray") -> list[int]:
    """Find the first row without a value, if any."""
    if column.null_count == 0:
        return []
    return [column.is_null().to_pylist().index(True)]
