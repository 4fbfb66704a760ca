"""Images of a zip file, read without unpacking."""

import stat
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

from distill.core.errors import UnreadableImage
from distill.data.decode import decode
from distill.data.files import stamp_of
from distill.data.naming import shown
from distill.data.pairs import contents
from distill.data.trees import HEAD, Tree

_LOCAL = struct.Struct("<4s22xHH")  # a member's own header: two lengths at its end
_ENCRYPTED, _UTF8 = 0x1, 0x800


class ZipSource:
    """A zip with one folder of images for each class, of pairs, or of any images, as a tar of them.

    Members are read by their offsets, with a file handle of the reader's own each time, and
    checked by their checksums.

    Raises:
        ValueError: If the zip is damaged or encrypted, or holds no images or labels.
    """

    def __init__(self, path: Path, labelled: bool = True, label: str | None = None) -> None:
        self._path = path
        tree = Tree(shown(str(path)), f"{path}:", self._head)
        self._members = dict[str, zipfile.ZipInfo]()
        for member in _members(path):
            name = _name(member)
            if member.is_dir():
                tree.folders.append(name.rstrip("/"))
            elif stat.S_ISLNK(member.external_attr >> 16):
                tree.left_out["link"] += 1
            else:
                self._members[name] = member
        tree.files = list(self._members)
        tree.folders += {name.rpartition("/")[0] for name in self._members}
        self._names, self.classes, self.targets = contents(tree, self._read, labelled, label)
        self._members = {name: self._members[name] for name in self._names}

    def name(self, index: int) -> str:
        """Path of the zip and name of the member."""
        return shown(f"{self._path}:{self._names[index]}")

    def image(self, index: int) -> Image.Image:
        """Read and decode one member."""
        try:
            data = self._read(self._names[index])
        except (OSError, ValueError) as error:
            raise UnreadableImage(f"cannot read image {self.name(index)}: {error}") from error
        return decode(data, self.name(index))

    def stamp(self) -> str:
        """Describe name, size and time of the zip."""
        return stamp_of(self._path)

    def _read(self, name: str) -> bytes:
        member = self._members[name]
        data = self._unpacked(member, member.file_size)
        if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise ValueError("damaged in the zip")
        return data

    def _head(self, name: str) -> bytes:
        return self._unpacked(self._members[name], HEAD)

    def _unpacked(self, member: zipfile.ZipInfo, most: int) -> bytes:
        """Unpack the first bytes of a member."""
        with self._path.open("rb") as file:
            file.seek(member.header_offset)
            try:
                mark, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
            except struct.error as error:
                raise ValueError("cut off in the zip") from error
            if mark != b"PK\3\4":
                raise ValueError("damaged in the zip")
            file.seek(name + extra, 1)
            packed = file.read(member.compress_size)
        if member.compress_type == zipfile.ZIP_STORED:
            return packed[:most]
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max(most, 1))
        except zlib.error as error:
            raise ValueError("damaged in the zip") from error


def _members(path: Path) -> list[zipfile.ZipInfo]:
    where = shown(str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise ValueError(f"damaged zip: {where} ({error})") from error
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{where} is encrypted: unpack it")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{where} is compressed by a method that is not supported: unpack it")
    return members


def _name(member: zipfile.ZipInfo) -> str:
    """Read a member's name as UTF-8, even where the zip does not declare it."""
    if member.flag_bits & _UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename
