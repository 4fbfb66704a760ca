"""A folder of files that are written whole: on a disk, a network file system or an object store."""

import os
from contextlib import suppress
from typing import IO, Any
from uuid import uuid4

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "memory")
"""Object stores, whose files are there whole or not at all; others are mounted as a folder."""
_MOST_OPEN = 32


class Folder:
    """Reads and writes files below a place, for any number of processes and machines.

    Args:
        place: A folder, or the URL of one in an object store.

    Raises:
        ImportError: If the package that knows the store is not installed.
        ValueError: If the URL is not one of ``STORES``.
    """

    def __init__(self, place: str) -> None:
        check_place(place)
        self._local = "://" not in place
        if self._local:  # a plain path, whatever it is made of
            self._files, self.root = LocalFileSystem(), os.path.abspath(place)
        else:
            self._files, self.root = url_to_fs(place)
        self._open = dict[str, IO[bytes]]()

    def names(self, below: str = "") -> list[str]:
        """List the names in a folder, sorted; none where it is missing."""
        folder = self._path(below)
        self._files.invalidate_cache(folder)
        try:
            found = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def all_files(self) -> dict[str, int]:
        """List all files below, by path from here, with their sizes."""
        self._files.invalidate_cache(self.root)
        found: dict[str, dict[str, Any]] = self._files.find(self.root, detail=True)
        here = self.root.rstrip("/") + "/"
        return {path.removeprefix(here): int(of["size"]) for path, of in found.items()}

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read a file, or a part of it; what lies behind its end is not there."""
        content: bytes = self._files.cat_file(self._path(name), start, end)
        return content

    def read_part(self, name: str, start: int, length: int) -> bytes:
        """Read a part of a file that stays open for the next part."""
        file = self._open.pop(name, None) or self._files.open(self._path(name), "rb")
        self._open[name] = file  # the latest comes last
        if len(self._open) > _MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()
        file.seek(start)
        return file.read(length)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, or not at all; several processes may write the same at once.

        Raises:
            OSError: If the disk is full.
        """
        path = self._path(name)
        if not self._local:
            self._files.pipe_file(path, content)
            return
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/.{last}.{uuid4().hex}"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def remove(self, name: str = "") -> None:
        """Delete a file, or the whole folder."""
        self._files.rm(self._path(name), recursive=not name)

    def close(self) -> None:
        """Close the files that are open for reading."""
        while self._open:
            self._open.popitem()[1].close()

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}".rstrip("/")


def check_place(place: str) -> None:
    """Refuse URLs of anything but an object store, and chains of them.

    Raises:
        ValueError: Naming the stores.
    """
    protocol, mark, _ = place.partition("://")
    if mark and (protocol not in STORES or "::" in place):
        known = ", ".join(STORES)
        raise ValueError(f"cache must be a path or a URL of {known}, got {place}")
