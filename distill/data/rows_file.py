"""A file of rows of bytes, which are read in any order by their offsets.

What can be read from beginning to end alone, such as a parquet file, is laid out in such a file
once, beside the cache of decoded images.
"""

import hashlib
import os
import struct
import zlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from distill.data.image_cache import FOLDER
from distill.data.naming import shown

_END = struct.Struct("<QI4s")  # number of rows, checksum of the index, a mark
_MARK = b"rows"


class RowsFile:
    """Reads rows, each with a file handle of its own: none is shared between loader workers.

    Of a row, eight bytes of offset and four of checksum are held in memory.

    Raises:
        ValueError: If it is no such file, or not whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END.size))
            end = file.read()
            n, checksum, mark = _END.unpack(end) if len(end) == _END.size else (0, 0, b"")
            length = 8 * (n + 1) + 4 * n
            if mark != _MARK or length > size:
                raise ValueError(f"no file of rows: {shown(str(path))}")
            file.seek(size - _END.size - length)
            index = file.read(length)
        if zlib.crc32(index) != checksum:
            raise ValueError(f"damaged file of rows: {shown(str(path))}")
        self._offsets = np.frombuffer(index, "<u8", n + 1)
        self._checksums = np.frombuffer(index, "<u4", n, 8 * (n + 1))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._checksums)

    def read(self, row: int) -> bytes:
        """Read a row.

        Raises:
            ValueError: If it is damaged.
        """
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        if zlib.crc32(data) != self._checksums[row]:
            raise ValueError(f"it is damaged in {shown(str(self._path))}: remove that file")
        return data


def laid_out(depends_on: str, rows: Callable[[], Iterable[bytes]]) -> RowsFile:
    """Open the file of rows, which is written before where it is not there or not whole.

    Args:
        depends_on: Everything that the rows depend on, as text.
        rows: Gives them, in order.

    Raises:
        OSError: If the disk is full.
    """
    path = FOLDER / f"{hashlib.sha256(depends_on.encode()).hexdigest()[:16]}.rows"
    try:
        return RowsFile(path)
    except (OSError, ValueError):
        _write(path, rows())
    return RowsFile(path)


def _write(path: Path, rows: Iterable[bytes]) -> None:
    """Write the whole file or nothing, even if other processes write it too."""
    own = path.with_suffix(f".{os.getpid()}")
    offsets, checksums = array("Q", [0]), array("I")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with own.open("wb") as file:
            for row in rows:
                file.write(row)
                offsets.append(offsets[-1] + len(row))
                checksums.append(zlib.crc32(row))
            index = np.array(offsets, "<u8").tobytes() + np.array(checksums, "<u4").tobytes()
            file.write(index)
            file.write(_END.pack(len(checksums), zlib.crc32(index), _MARK))
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)
