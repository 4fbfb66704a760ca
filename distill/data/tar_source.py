"""Images of an uncompressed tar, read without unpacking."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from distill.data.decode import decode
from distill.data.files import stamp_of
from distill.data.naming import shown
from distill.data.pairs import contents
from distill.data.trees import HEAD, Tree

_BLOCK = 512


class TarSource:
    """An uncompressed tar with one folder of images for each class, of pairs, or of any images.

    The folders are classes as they would be unpacked: :func:`distill.data.folders.class_of_each`.
    Files with the label of one image each come before folders:
    :func:`distill.data.pairs.contents`. Symbolic links are left out.

    Members are read by their offsets, with a file handle of the reader's own each time: no handle
    is shared between loader workers, and nothing is written beside the tar.

    Raises:
        ValueError: If the tar is damaged, or holds no images or labels.
    """

    def __init__(self, path: Path, labelled: bool = True, label: str | None = None) -> None:
        self._path = path
        tree = Tree(shown(str(path)), f"{path}:", self._head)
        self._spans = dict[str, tuple[int, int]]()
        for member in _members(path):
            tree.folders.append(member.name if member.isdir() else _folder_of(member.name))
            if member.isdir():
                continue
            if not self._take(member):
                tree.left_out["link" if member.issym() else "special file"] += 1
        tree.files = list(self._spans)
        self._names, self.classes, self.targets = contents(tree, self._read, labelled, label)
        self._spans = {name: self._spans[name] for name in self._names}

    def name(self, index: int) -> str:
        """Path of the tar and name of the member."""
        return shown(f"{self._path}:{self._names[index]}")

    def image(self, index: int) -> Image.Image:
        """Read and decode one member."""
        return decode(self._read(self._names[index]), self.name(index))

    def stamp(self) -> str:
        """Describe name, size and time of the tar."""
        return stamp_of(self._path)

    def _take(self, member: tarfile.TarInfo) -> bool:
        """Record where a file's bytes are; a hard link has the bytes of its target."""
        if member.islnk() and member.linkname in self._spans:
            self._spans[member.name] = self._spans[member.linkname]
        elif member.isreg():
            self._spans[member.name] = member.offset_data, member.size
        return member.name in self._spans

    def _read(self, name: str, most: int | None = None) -> bytes:
        offset, size = self._spans[name]
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size if most is None else min(size, most))

    def _head(self, name: str) -> bytes:
        return self._read(name, HEAD)


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _members(path: Path) -> list[tarfile.TarInfo]:
    """List all members, and check that the archive is whole."""
    try:
        with tarfile.open(path, "r:") as archive:
            members, end = archive.getmembers(), archive.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ValueError(f"damaged tar: {shown(str(path))} ({error})") from error
    with path.open("rb") as file:
        file.seek(end)
        _refuse_damage(file, end, f"damaged tar: {shown(str(path))}", members)
    return members


def _refuse_damage(file: BinaryIO, end: int, damaged: str, members: list[tarfile.TarInfo]) -> None:
    """Require two blocks of zeros at the end; reading stops at a bad header as well."""
    after = f"after {shown(members[-1].name)}" if members else "at its beginning"
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
