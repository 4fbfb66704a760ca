"""Where labelled images come from: class folders, a tar of them, parquet, or a torchvision set."""

import os
import posixpath
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torchvision
from PIL import Image
from torch import Tensor

from distill.data.decoding import decode
from distill.data.folders import class_of_each

TORCHVISION_SETS = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST")
UNLABELLED = -100
"""The class number of an image without a label: ``torch.nn.CrossEntropyLoss`` leaves it out, and
losses that need a class number refuse it."""

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


class Source(Protocol):
    """Labelled images that can be read one at a time, from any process."""

    classes: tuple[str, ...]
    targets: Tensor

    def name(self, index: int) -> str:
        """What to call image number ``index`` in a message."""

    def image(self, index: int) -> Image.Image:
        """The decoded image."""

    def stamp(self) -> str | None:
        """Text that changes whenever the files do; None where reading is as fast as looking."""


def open_source(spec: str, root: str = "data", train: bool = True) -> Source:
    """Open a folder of class folders, a tar of class folders, a parquet file or a torchvision set.

    Args:
        spec: A path, or one of the torchvision set names.
        root: Where torchvision sets lie, or are downloaded to.
        train: Which half of a torchvision set: training or test images.

    Raises:
        ValueError: If nothing is there, or it holds no class folders with images.
    """
    if spec in TORCHVISION_SETS:
        return TorchvisionSource(spec, root, train)
    return _open(Path(spec), labelled=True)


def open_unlabelled(spec: str, root: str = "data") -> Source:
    """Open any folder, tar or parquet file of images, or the training half of a torchvision set.

    Labels, where there are any, are not read: all targets are ``UNLABELLED``, and there are no
    classes.

    Args:
        spec: A path, or one of the torchvision set names.
        root: Where torchvision sets lie, or are downloaded to.

    Raises:
        ValueError: If nothing is there, or it holds no images.
    """
    if spec in TORCHVISION_SETS:
        source = TorchvisionSource(spec, root, train=True)
        source.classes, source.targets = _without_labels(len(source.targets), Path(spec))
        return source
    return _open(Path(spec), labelled=False)


def _open(path: Path, labelled: bool) -> Source:
    if path.is_dir():
        return FolderSource(path, labelled)
    if path.suffix == ".parquet" and path.is_file():
        return ParquetSource(path, labelled)
    if path.is_file():
        return TarSource(path, labelled)
    known = ", ".join(TORCHVISION_SETS)
    raise ValueError(f"no such file or folder: {path} (torchvision sets by name: {known})")


class FolderSource:
    """A folder with one sub-folder of images for each class; any folder, where not ``labelled``.

    Which sub-folders are classes: :func:`distill.data.folders.class_of_each`. Files and folders
    whose names begin with a dot are left out, as in a tar.
    """

    def __init__(self, path: Path, labelled: bool = True) -> None:
        names, folders = _walk(path)
        if labelled:
            labels = class_of_each(names, folders, f"{path}/")
            names = [name for name, label in zip(names, labels, strict=True) if label]
            self.classes, self.targets = _classes_and_targets(list(filter(None, labels)), path)
        else:
            self.classes, self.targets = _without_labels(len(names), path)
        self._files = [path / name for name in names]

    def name(self, index: int) -> str:
        """The file's path."""
        return str(self._files[index])

    def image(self, index: int) -> Image.Image:
        """Decode the file."""
        return decode(self._files[index].read_bytes(), self.name(index))

    def stamp(self) -> str:
        """Names, sizes and times of all files."""
        return " ".join(_stamp(file) for file in self._files)


class TarSource:
    """An uncompressed tar with one folder of images for each class, or of any images.

    The folders are classes as they would be unpacked: :func:`distill.data.folders.class_of_each`.
    Links are left out.

    Members are read by their offsets, with a file handle of the reader's own each time: no handle
    is shared between loader workers, and nothing is written beside the tar.
    """

    def __init__(self, path: Path, labelled: bool = True) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as archive:
                members = archive.getmembers()
        except tarfile.TarError as error:
            raise ValueError(f"not an uncompressed tar: {path} ({error})") from error
        images = [member for member in members if member.isfile() and _is_image(member.name)]
        images.sort(key=lambda member: member.name)
        if labelled:
            inside = {m.name if m.isdir() else posixpath.dirname(m.name) for m in members}
            folders = [name for name in inside if not _is_hidden(name)]
            labels = class_of_each([member.name for member in images], folders, f"{path}:")
            images = [member for member, label in zip(images, labels, strict=True) if label]
            self.classes, self.targets = _classes_and_targets(list(filter(None, labels)), path)
        else:
            self.classes, self.targets = _without_labels(len(images), path)
        self._names = [member.name for member in images]
        self._spans = [(member.offset_data, member.size) for member in images]

    def name(self, index: int) -> str:
        """The tar's path and the member's name."""
        return f"{self._path}:{self._names[index]}"

    def image(self, index: int) -> Image.Image:
        """Read and decode one member."""
        offset, size = self._spans[index]
        with self._path.open("rb") as file:
            file.seek(offset)
            return decode(file.read(size), self.name(index))

    def stamp(self) -> str:
        """Name, size and time of the tar."""
        return _stamp(self._path)


class ParquetSource:
    """A parquet file with a column of encoded images and, where ``labelled``, one of labels.

    The image column is called ``image`` or ``img`` and holds bytes, or structs with ``bytes``; the
    label column is called ``label`` or ``target``.
    """

    def __init__(self, path: Path, labelled: bool = True) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise ValueError(f"{path} needs pyarrow: pip install 'distill[parquet]'") from error
        table = pyarrow.parquet.read_table(path)
        self._path = path
        self._images = _column(table, ("image", "img"), path)
        if not labelled:
            self.classes, self.targets = _without_labels(len(self._images), path)
            return
        labels = [str(value) for value in _column(table, ("label", "target"), path).to_pylist()]
        numeric = all(label.isdigit() for label in labels)
        names = sorted(set(labels), key=int) if numeric else sorted(set(labels))
        self.classes, self.targets = _classes_and_targets(labels, path, names)

    def name(self, index: int) -> str:
        """The file's path and the row."""
        return f"{self._path}: row {index}"

    def image(self, index: int) -> Image.Image:
        """Decode one row."""
        value = self._images[index].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        return decode(data, self.name(index))

    def stamp(self) -> str:
        """Name, size and time of the file."""
        return _stamp(self._path)


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
        """The set's name and the image's number."""
        return f"{self._name} #{index}"

    def image(self, index: int) -> Image.Image:
        """One image."""
        image: Image.Image = self._set[index][0]
        return image

    def stamp(self) -> None:
        """None: the set comes decoded."""


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"


def _walk(top: Path) -> tuple[list[str], list[str]]:
    """Names of all images in a folder, in order, and of the folders in it."""
    images, folders = list[str](), list[str]()
    for place, inside, files in os.walk(top):
        inside[:] = [name for name in inside if not _is_hidden(name)]
        here = Path(place).relative_to(top)
        folders += [(here / name).as_posix() for name in inside]
        images += [(here / name).as_posix() for name in files if _is_image(name)]
    return sorted(images, key=lambda name: name.split("/")), folders


# Of strings, not of paths: a tar may hold a million members.
def _is_image(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in _IMAGE_SUFFIXES and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, has a name that begins with a dot."""
    return "/." in f"/{name.removeprefix('./')}"


def _classes_and_targets(
    labels: Sequence[str], path: Path, classes: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Tensor]:
    if not labels:
        raise ValueError(f"no class folders with images in {path}")
    names = tuple(classes or sorted(set(labels)))
    number = {name: i for i, name in enumerate(names)}
    return names, torch.tensor([number[label] for label in labels])


def _without_labels(n: int, path: Path) -> tuple[tuple[str, ...], Tensor]:
    if n == 0:
        raise ValueError(f"no images in {path}")
    return (), torch.full((n,), UNLABELLED)


def _column(table, names: tuple[str, ...], path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for name in names:
        if name in table.column_names:
            return table[name]
    have = ", ".join(table.column_names)
    raise ValueError(f"{path} needs a column named {' or '.join(names)}, it has {have}")
