"""Images in parquet files: encoded, in one column, with labels in another."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from distill.core.errors import UnreadableImage
from distill.data.classes import by_number, classes_and_targets, label_text, without_labels
from distill.data.decode import decode
from distill.data.files import stamp_of
from distill.data.naming import class_name, shown
from distill.data.pairs import LABELS
from distill.data.rows_file import RowsFile, laid_out

if TYPE_CHECKING:
    import pyarrow.parquet

_FEW, _BUFFER = 16, 2**20  # rows, and bytes of a column, that are read at once
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
        self._files = [_File(path, image, label, labelled) for path in paths]
        self._starts = [0, *accumulate(file.rows for file in self._files)]
        self._laid_out: RowsFile | None = None
        where = shown(str(paths[0] if len(paths) == 1 else paths[0].parent))
        if labelled:
            of_each = [file.labels() for file in self._files]
            labels = [label for own, _ in of_each for label in own]
            found = classes_and_targets(labels, where, of_each[-1][1] or by_number(labels))
        else:
            found = without_labels(self._starts[-1], where)
        self.classes, self.targets = found

    def name(self, index: int) -> str:
        """Path of the file and number of the row."""
        part = bisect_right(self._starts, index) - 1
        return f"{self._files[part].where}: row {index - self._starts[part]}"

    def image(self, index: int) -> Image.Image:
        """Decode one row: fast in their order, or once they are laid out."""
        part = bisect_right(self._starts, index) - 1
        try:
            if self._laid_out is not None:
                data = self._laid_out.read(index)
            else:
                data = self._files[part].read(index - self._starts[part])
        except (OSError, ValueError) as error:
            raise UnreadableImage(f"cannot read image {self.name(index)}: {error}") from error
        return decode(data, self.name(index))

    def lay_out(self) -> None:
        """Write the encoded images to a file that is read in any order, where none is there yet.

        Raises:
            ValueError: If a row is damaged, or there is no room for the file.
        """
        every = partial(chain.from_iterable, (file.stream() for file in self._files))
        try:
            self._laid_out = laid_out(f"{self.stamp()} rows", every)
        except OSError as error:
            why = f"cannot be laid out in any order: {error}"
            raise ValueError(f"{self._files[0].where} {why}") from error

    def stamp(self) -> str:
        """List names, sizes and times of the files, and the column of images."""
        stamps = [stamp_of(file.path) for file in self._files]
        return " ".join([*stamps, *(file.image for file in self._files)])


class _File:
    """One parquet file, whose images are read a few rows at a time."""

    def __init__(self, path: Path, image: str | None, label: str | None, labelled: bool) -> None:
        self.path, self.where = path, shown(str(path))
        self._at = 0
        self._ahead: Iterator[bytes] | None = None
        with self._opened() as file:
            self._have, self._features = _described(file.schema_arrow)
            self.rows = file.metadata.num_rows
            self.image = self._column(image, IMAGES, "Image", "image_column")
            self._label, self._labels = "", list[Any]()
            if labelled:
                self._label = self._column(label, LABELS, "ClassLabel", "label_column")
            self._check_images(file)
            if labelled:
                table = file.read(columns=[self._label], use_threads=False)
                self._labels = table[self._label].to_pylist()

    def read(self, row: int) -> bytes:
        """Read the bytes of an image; those that follow cost no more."""
        if self._ahead is None or row != self._at:
            self._ahead = self.stream(row)
        self._at = row + 1
        return next(self._ahead)

    def stream(self, first: int = 0) -> Iterator[bytes]:
        """Read the bytes of all images from one on, a few at a time."""
        with self._opened() as file:
            groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            starts = [0, *accumulate(groups)]
            group = max(0, bisect_right(starts, first) - 1)
            row = starts[group]
            for column in self._parts(file, range(group, len(groups))):
                for value in column[max(0, first - row) :]:
                    yield value.as_py()
                row += len(column)

    def labels(self) -> tuple[list[str], list[str] | None]:
        """Read the class of each row, and all classes in order where the file names them."""
        names = _class_names(self._features.get(self._label))
        labels = []
        for row, value in enumerate(self._labels):
            where = f"{self.where}: row {row}"
            label = label_text(value, where)
            if names and not isinstance(value, str):
                if int(label) >= len(names):
                    known = f"the file names {len(names)} classes"
                    raise ValueError(f"{where} has the label {label}, but {known}")
                label = names[int(label)]
            labels.append(label)
        self._labels.clear()
        return labels, names

    @contextmanager
    def _opened(self) -> Iterator["pyarrow.parquet.ParquetFile"]:
        try:
            import pyarrow.parquet
        except ImportError as error:
            message = "needs pyarrow: pip install 'distill[parquet]'"
            raise ValueError(f"{self.where} {message}") from error
        try:
            # Page by page: what a group of rows holds is not read at once.
            how = {"pre_buffer": False, "buffer_size": _BUFFER}
            with pyarrow.parquet.ParquetFile(self.path, **how) as file:
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            detail = " ".join(str(error).split())
            raise ValueError(f"damaged parquet file: {self.where} ({detail})") from error

    def _parts(
        self, file: "pyarrow.parquet.ParquetFile", groups: range
    ) -> Iterator["pyarrow.Array"]:
        """The bytes of images, a few rows at a time."""
        import pyarrow.compute

        kind = file.schema_arrow.field(self.image).type
        inside = _bytes_of(kind)
        column = self.image if inside is None else f"{self.image}.bytes"
        for batch in file.iter_batches(_FEW, list(groups), [column], use_threads=False):
            part = batch.column(0)
            yield part if inside is None else pyarrow.compute.struct_field(part, "bytes")

    def _check_images(self, file: "pyarrow.parquet.ParquetFile") -> None:
        """Require bytes in each row."""
        import pyarrow as pa

        kind = file.schema_arrow.field(self.image).type
        data = kind if (inside := _bytes_of(kind)) is None else inside
        may = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
        if self.rows and not any(is_one(data) for is_one in may):
            message = f"needs bytes of image files, row 0 has {kind}"
            raise ValueError(f"{self.where}: column {self.image} {message}")
        if _has_no_nulls(file, self.image):
            return
        row = 0
        for part in self._parts(file, range(file.num_row_groups)):
            if part.null_count:
                row += part.is_null().to_pylist().index(True)
                raise ValueError(
                    f"{self.where}: row {row} holds no image{self._path_in(file, row)}"
                )
            row += len(part)

    def _path_in(self, file: "pyarrow.parquet.ParquetFile", row: int) -> str:
        """The path that a row has in place of an image, if it has one."""
        for batch in file.iter_batches(_FEW, columns=[self.image]):
            if row < len(batch):
                value = batch.column(0)[row].as_py()
                path = value.get("path") if isinstance(value, dict) else None
                return f", only the path {shown(str(path))}" if path else ""
            row -= len(batch)
        return ""

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
            f"{self.where} needs a column named {names}, it has {have}: set data.{key}"
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


def _bytes_of(kind: "pyarrow.DataType") -> "pyarrow.DataType | None":
    """The type of the field with the bytes, where there is one."""
    import pyarrow as pa

    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return kind.field(place).type if place >= 0 else None


def _has_no_nulls(file: "pyarrow.parquet.ParquetFile", column: str) -> bool:
    """Whether the file's own counts say that every row has its bytes."""
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        for place in range(about.num_columns):
            of = about.column(place)
            if of.path_in_schema not in (column, f"{column}.bytes"):
                continue
            counts = of.statistics
            if counts is None or not counts.has_null_count or counts.null_count:
                return False
    return True
