"""Opens sources of images: folders, archives, parquet, tables of paths, or a torchvision set."""

import glob
import re
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torchvision
from PIL import Image
from torch import Tensor

from distill.data.classes import UNLABELLED, without_labels
from distill.data.csv_source import CSVSource
from distill.data.folder_source import FolderSource
from distill.data.folders import SPLITS
from distill.data.naming import shown
from distill.data.parquet_source import ParquetSource
from distill.data.tar_source import TarSource
from distill.data.zip_source import ZipSource

__all__ = [
    "TORCHVISION_SETS",
    "UNLABELLED",
    "USUAL",
    "Columns",
    "InOrder",
    "Source",
    "open_source",
    "open_unlabelled",
]

TORCHVISION_SETS = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST")
_FORMATS = (
    "a folder, tar or zip with a folder of images for each class, a tar or zip of pairs (KEY.jpg"
    " with KEY.cls or KEY.json), a parquet file, a folder of parquet files or of tars, a CSV of"
    " path and label, or " + ", ".join(TORCHVISION_SETS)
)
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}


class Source(Protocol):
    """Labelled images that can be read one at a time, from any process."""

    classes: tuple[str, ...]
    targets: Tensor

    def name(self, index: int) -> str:
        """Name image number ``index`` in messages."""

    def image(self, index: int) -> Image.Image:
        """Decode image number ``index``."""

    def stamp(self) -> str | None:
        """Describe the state of the files; None where images need no cache."""


@runtime_checkable
class InOrder(Protocol):
    """A source that is read fast in its order alone, unless it is laid out for any."""

    def lay_out(self) -> None:
        """Make it fast in any order."""


class Columns(NamedTuple):
    """Columns of a table with images and labels; None: found by their usual names."""

    image: str | None = None
    label: str | None = None


USUAL = Columns()


def open_source(
    spec: str, root: str = "data", train: bool = True, columns: Columns = USUAL
) -> Source:
    """Open a folder, tar or zip of class folders, a tar or zip of pairs, a table, or a known set.

    Args:
        spec: A path, a pattern such as ``data/train-*.parquet``, or one of the torchvision names.
        root: Folder of torchvision sets, also for downloads.
        train: Whether to take the training or the test images of a torchvision set.
        columns: Of parquet and CSV files; the label's name also of a JSON beside an image.

    Warns:
        UserWarning: In one line, if anything was left out of a folder or an archive.

    Raises:
        ValueError: If the source is missing or damaged, or has no classes with images.
    """
    if spec in TORCHVISION_SETS:
        return TorchvisionSource(spec, root, train)
    return _open(spec, True, columns)


def open_unlabelled(spec: str, root: str = "data", columns: Columns = USUAL) -> Source:
    """Open any folder, archive or table of images, or the training half of a torchvision set.

    Labels, where there are any, are not read: all targets are ``UNLABELLED``, and there are no
    classes.

    Args:
        spec: A path, a pattern such as ``data/train-*.parquet``, or one of the torchvision names.
        root: Folder of torchvision sets, also for downloads.
        columns: Of parquet and CSV files.

    Warns:
        UserWarning: In one line, if anything was left out of a folder or an archive.

    Raises:
        ValueError: If the source is missing or damaged, or holds no images.
    """
    if spec in TORCHVISION_SETS:
        source = TorchvisionSource(spec, root, train=True)
        source.classes, source.targets = without_labels(len(source.targets), spec)
        return source
    return _open(spec, False, columns)


def _open(spec: str, labelled: bool, columns: Columns) -> Source:
    path = Path(spec)
    if shards := _shards(spec, path):
        if shards[0].suffix == ".tar":
            return TarSource(shards, labelled, columns.label)
        return ParquetSource(shards, labelled, *columns)
    if path.is_dir():
        return FolderSource(path, labelled)
    if not path.is_file():
        known = ", ".join(TORCHVISION_SETS)
        raise ValueError(
            f"no such file or folder: {shown(spec)} (torchvision sets by name: {known})"
        )
    if path.suffix.lower() in (".csv", ".tsv"):
        return CSVSource(path, labelled, *columns)
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return ZipSource(path, labelled, columns.label)
    if path.suffix == ".tar" or head[257:262] == b"ustar":
        return TarSource([path], labelled, columns.label)
    raise ValueError(_unsupported(shown(spec), head))


def _unsupported(spec: str, head: bytes) -> str:
    for beginning, program in _COMPRESSED.items():
        if head.startswith(beginning):
            problem = f"{spec} is compressed, and images are read without unpacking"
            return f"{problem}: {program} it and give the .tar"
    return f"{spec} is none of: {_FORMATS}"


def _shards(spec: str, path: Path) -> list[Path]:
    """List parquet files, a single one, those in a folder or of a pattern; or tars, of the last."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    if path.is_dir():
        files = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
        files = files or _tars_alone(path)
        splits = sorted({_first_word(file) for file in files} & SPLITS)
        if len(splits) > 1:
            give = shown(str(files[0].with_name(f"{splits[-1]}*{files[0].suffix}")))
            held = ", ".join(splits)
            raise ValueError(f"{shown(spec)} holds the splits {held}: give one, such as '{give}'")
        return files
    files = [Path(name) for name in sorted(glob.glob(spec))] if "*" in spec else []
    kind = files[0].suffix if files and files[0].suffix == ".tar" else ".parquet"
    if odd := [file for file in files if file.suffix != kind]:
        held = f"{shown(spec)} has {shown(odd[0].name)} too"
        raise ValueError(f"a pattern is for parquet files or tars only, {held}")
    return files


def _tars_alone(folder: Path) -> list[Path]:
    """List the tars of a folder in which no folder is."""
    tars = sorted(folder.glob("*.tar"))
    return [] if not tars or any(inside.is_dir() for inside in folder.iterdir()) else tars


def _first_word(file: Path) -> str:
    return re.split(r"[-_.]", file.name.lower())[0]


class TorchvisionSource:
    """A torchvision set by name, downloaded on first use."""

    def __init__(self, name: str, root: str, train: bool) -> None:
        try:
            self._set = getattr(torchvision.datasets, name)(root, train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{name} is not in {root} and could not be downloaded") from error
        self._name = f"{name} {'train' if train else 'test'}"
        self.classes = tuple(self._set.classes)
        self.targets = torch.as_tensor(self._set.targets, dtype=torch.int64)

    def name(self, index: int) -> str:
        """Name of the set and number of the image."""
        return f"{self._name} #{index}"

    def image(self, index: int) -> Image.Image:
        """Read an image."""
        image: Image.Image = self._set[index][0]
        return image

    def stamp(self) -> None:
        """No stamp: the set is decoded already."""
