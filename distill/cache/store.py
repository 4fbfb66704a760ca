"""The file of teacher outputs: SQLite, which survives a kill and a second writer."""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from distill.core.errors import RecipeError
from distill.core.fingerprint import Fields, difference

_FORMAT = "1"
_PATIENCE = 60.0  # seconds to wait for another writer
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tensors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS entries (
    key INTEGER PRIMARY KEY, seen INTEGER NOT NULL, shape TEXT NOT NULL, data BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
"""


_NAMES = {"facts", "tensors", "entries"}


class ForeignDatabaseError(Exception):
    """A file is an SQLite database of something else."""


class Entry(NamedTuple):
    """A teacher's output for one view.

    Attributes:
        pixel_hash: Hash of the image that it was computed from.
        shape: Of the stored tensor, without the batch.
        data: Its bytes.
    """

    pixel_hash: int
    shape: tuple[int, ...]
    data: bytes


class Store:
    """Entries by (tensor, view, sample) in one file, for any number of readers and writers.

    An entry is written whole or not at all, whenever a process is killed, and is checked when it is
    read. The first entry of a key stays. Processes on one machine share a file; SQLite's
    write-ahead log does not work over a network.

    Args:
        path: The file, created if missing.
        fields: Everything that the entries depend on.

    Raises:
        RecipeError: If the file is no cache, or its entries were computed with other fields,
            naming the first that differs.
    """

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path = path
        self._tensors: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=_PATIENCE):
                self._connection = connect(path)
                self._connection.executescript(_TABLES)
                self._claim(fields)
        except (sqlite3.DatabaseError, ForeignDatabaseError, OSError) as error:
            raise RecipeError(str(path), f"is not a usable cache: {error}") from error

    def read(self, tensor: str, view: int, samples: Sequence[int]) -> list[Entry | None]:
        """Read the entries of samples, None for missing ones.

        Raises:
            RecipeError: If an entry is damaged, naming it.
        """
        marks = ",".join("?" * len(samples))
        query = f"SELECT key, seen, shape, data, checksum FROM entries WHERE key IN ({marks})"  # noqa: S608 - question marks
        found: dict[int, Entry] = {}
        try:
            first = self._first_key(tensor, view)
            for key, pixel_hash, shape, data, checksum in self._connection.execute(
                query, [first + sample for sample in samples]
            ):
                if checksum != _checksum(key, pixel_hash, shape, data):
                    where = f"{tensor} of sample {key - first}, view {view}"
                    raise self._damaged(f"{where} does not match its checksum")
                found[key - first] = Entry(pixel_hash, _shape(shape), data)
        except RecipeError:
            raise
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            raise self._damaged(str(error)) from error
        return [found.get(sample) for sample in samples]

    def write(
        self, tensor: str, view: int, samples: Sequence[int], entries: Iterable[Entry]
    ) -> None:
        """Add entries; existing ones stay as they are.

        Raises:
            OSError: If the disk is full or another writer holds the file for a minute.
        """
        first = self._first_key(tensor, view)
        rows = []
        for sample, entry in zip(samples, entries, strict=True):
            key, shape = first + sample, ",".join(map(str, entry.shape))
            checksum = _checksum(key, entry.pixel_hash, shape, entry.data)
            rows.append((key, entry.pixel_hash, shape, entry.data, checksum))
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR IGNORE INTO entries VALUES (?,?,?,?,?)", rows
                )
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path}: {error}") from error

    def flush(self) -> None:
        """Do nothing: every entry is in the file."""

    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _claim(self, fields: Fields) -> None:
        facts = dict(self._connection.execute("SELECT name, value FROM facts"))
        if not facts:
            rows = [("format", _FORMAT), ("fields", json.dumps(dict(fields), sort_keys=True))]
            with self._connection:
                self._connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
            return
        if facts.get("format") != _FORMAT:
            raise RecipeError(
                str(self.path), f"is a cache of another format: {facts.get('format')}"
            )
        try:
            stored = read_fields(facts["fields"])
        except (ValueError, KeyError) as error:
            raise self._damaged(f"its fields cannot be read: {error}") from error
        differs = difference(stored, fields)
        if differs:
            advice = "name another file, or remove this one with `distill cache rm`"
            message = f"contains outputs of other settings: {differs}; {advice}"
            raise RecipeError(str(self.path), message)

    def _first_key(self, tensor: str, view: int) -> int:
        """Make the key of sample 0: ten bits of tensor, 22 of view, 31 of sample."""
        if tensor not in self._tensors:
            with self._connection:
                self._connection.execute(
                    "INSERT OR IGNORE INTO tensors (name) VALUES (?)", (tensor,)
                )
            self._tensors = {
                name: n for n, name in self._connection.execute("SELECT * FROM tensors")
            }
        return self._tensors[tensor] << 53 | view << 31

    def _damaged(self, what: str) -> RecipeError:
        return RecipeError(str(self.path), f"is damaged: {what}; remove it with `distill cache rm`")


def connect(path: Path) -> sqlite3.Connection:
    """Open a cache's file, with the write-ahead log, so a kill leaves it whole.

    Raises:
        ForeignDatabaseError: If it is another SQLite database; not a byte of it is changed.
    """
    connection = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        foreign = sorted(str(name) for (name,) in rows if name not in _NAMES)
        if foreign:
            raise ForeignDatabaseError(f"another program's database, with a table {foreign[0]}")
    except BaseException:
        connection.close()
        raise
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def read_fields(text: object) -> dict[str, str]:
    """Read the fields that a cache was made for.

    Raises:
        ValueError: If they are not texts by name.
    """
    if not isinstance(text, str):
        raise ValueError("not a text")
    fields = json.loads(text)
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        raise ValueError("not texts by name")
    return fields


def _checksum(key: int, pixel_hash: int, shape: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{key} {pixel_hash} {shape}".encode()))


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(length) for length in text.split(",")) if text else ()
