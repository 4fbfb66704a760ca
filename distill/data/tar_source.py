"""Images of uncompressed tars, read without unpacking."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from distill.data.decode import decode
from distill.data.files import stamp_of
from distill.data.naming import shown
from distill.data.pairs import contents
from distill.data.trees import HEAD, Tree

_BLOCK = 512


class TarSource:
    """Uncompressed tars with one folder of images for each class, of pairs, or of any images.

    Several tars are read as if they were unpacked to one place. The folders are classes as they
    would be unpacked: :func:`distill.data.folders.class_of_each`. Files with the label of one image
    each come before folders: :func:`distill.data.pairs.contents`. Symbolic links are left out.

    Members are read by their offsets, with a file handle of the reader's own each time: no handle
    is shared between loader workers, and nothing is written beside the tars. In memory are the
    names of the images and 20 bytes for each.

    Raises:
        ValueError: If a tar is damaged, two hold an image of one name, or there are no images
            or labels.
    """

    def __init__(
        self, paths: Sequence[Path], labelled: bool = True, label: str | None = None
    ) -> None:
        self._paths = list(paths)
        first = paths[0]
        where = shown(str(first if len(paths) == 1 else first.parent))
        spans, twice = dict[str, _Span](), dict[str, int]()
        top = f"{first}:" if len(paths) == 1 else f"{first.parent}:"
        tree = Tree(where, top, lambda name: self._bytes(*spans[name], HEAD))
        for number in range(len(paths)):
            self._index(number, tree, spans, twice)
        tree.files = list(spans)
        names, self.classes, self.targets = contents(
            tree, lambda name: self._bytes(*spans[name]), labelled, label
        )
        for name in twice.keys() & set(names):
            both = f"{self._paths[spans[name].tar].name} and {self._paths[twice[name]].name}"
            raise ValueError(f"{where}: {shown(both)} both hold {shown(name)}: rename one")
        self._names = names
        self._spans = np.array([spans[name] for name in names], np.int64)

    def name(self, index: int) -> str:
        """Path of the tar and name of the member."""
        return shown(f"{self._paths[self._spans[index, 0]]}:{self._names[index]}")

    def image(self, index: int) -> Image.Image:
        """Read and decode one member."""
        return decode(self._bytes(*self._spans[index].tolist()), self.name(index))

    def stamp(self) -> str:
        """Describe names, sizes and times of the tars."""
        return " ".join(map(stamp_of, self._paths))

    def _index(
        self, number: int, tree: Tree, spans: dict[str, "_Span"], twice: dict[str, int]
    ) -> None:
        """Record where the bytes of each file are; a hard link has the bytes of its target."""
        folders = set[str]()
        for member in _members(self._paths[number]):
            folders.add(member.name if member.isdir() else _folder_of(member.name))
            if member.isdir():
                continue
            if member.isreg():
                span = _Span(number, member.offset_data, member.size)
            elif member.islnk() and member.linkname in spans:
                span = spans[member.linkname]
            else:
                tree.left_out["link" if member.issym() else "special file"] += 1
                continue
            if member.name in spans and spans[member.name].tar != number:
                twice[member.name] = number
                continue
            spans[member.name] = span
        tree.folders += folders

    def _bytes(self, tar: int, offset: int, size: int, most: int | None = None) -> bytes:
        with self._paths[tar].open("rb") as file:
            file.seek(offset)
            return file.read(size if most is None else min(size, most))


class _Span(NamedTuple):
    """Where the bytes of a file are."""

    tar: int
    offset: int
    size: int


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Go through all members, and check that the archive is whole."""
    last, end = "", 0
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined] # it would keep them all
                last = member.name
                yield member
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ValueError(f"damaged tar: {shown(str(path))} ({error})") from error
    with path.open("rb") as file:
        file.seek(end)
        _refuse_damage(file, end, f"damaged tar: {shown(str(path))}", last)


def _refuse_damage(file: BinaryIO, end: int, damaged: str, last: str) -> None:
    """Require two blocks of zeros at the end; reading stops at a bad header as well."""
    after = f"after {shown(last)}" if last else "at its beginning"
    marker = file.read(2 * _BLOCK)
    if any(marker[:_BLOCK]):
        raise ValueError(f"{damaged} (a bad header {after}, at byte {end})")
    if len(marker) < 2 * _BLOCK:
        raise ValueError(f"{damaged} (it is cut off {after}, at byte {end + len(marker)})")
    if any(marker) or any(any(part) for part in _parts(file)):
        raise ValueError(f"{damaged} (more data follow its end, {after})")


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(2**20):
        yield part.strip(b"\0")
