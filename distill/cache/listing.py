"""Lists and removes caches."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.cache.folder import Folder
from distill.cache.shard_store import FOLDER_ENDING, count, foreign, is_sharded, read_claim
from distill.cache.store import ForeignDatabaseError, connect, read_fields
from distill.core.errors import RecipeError
from distill.core.suggest import nearest

_BESIDE = ("-wal", "-shm", ".lock")


@dataclass(frozen=True)
class CacheFile:
    """A cache and its contents.

    Attributes:
        path: Its file, or its folder of shards.
        size: In bytes, including its log.
        entries: Number of entries of each tensor.
        fields: Everything that the entries depend on.
    """

    path: Path | str
    size: int
    entries: dict[str, int]
    fields: dict[str, str]


def list_caches(folder: Path) -> list[CacheFile]:
    """List the caches of a folder, by name.

    Raises:
        RecipeError: If one cannot be read, naming it.
    """
    return [_read_shards(p) if p.is_dir() else _read(p) for p in _caches(folder)]


def remove(folder: Path, name: str) -> Path | str:
    """Delete a cache.

    Args:
        folder: Of caches that are named.
        name: A file, a folder of shards, its URL, or the beginning of the name of a cache in the
            folder.

    Returns:
        What was deleted: a path, or the URL.

    Raises:
        RecipeError: If there is none, or the name fits several.
    """
    if is_sharded(name):
        return _remove_shards(name if "://" in name else Path(name))
    path = Path(name)
    if not path.is_file():
        found = _caches(folder)
        fitting = [file for file in found if file.name.startswith(name)]
        if len(fitting) != 1:
            hint = nearest(name, [file.stem for file in found])
            why = f"fits {len(fitting)} caches" if fitting else f"is no cache{hint}"
            raise RecipeError(name, f"{why} in {folder}; `distill cache ls` lists them")
        path = fitting[0]
    if path.is_dir():
        return _remove_shards(path)
    _refuse_others(path)
    for file in (path, *(path.with_name(path.name + ending) for ending in _BESIDE)):
        file.unlink(missing_ok=True)
    return path


def rows(caches: Sequence[CacheFile]) -> list[tuple[str, str, str, str]]:
    """Describe each cache by file, size, entries and teacher, as text."""
    return [
        (
            str(cache.path),
            f"{cache.size / 2**20:.2f} MiB",
            ", ".join(f"{name} {n}" for name, n in cache.entries.items()) or "empty",
            cache.fields.get("model.teacher", "?").rpartition(".")[2],
        )
        for cache in caches
    ]


def _caches(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.sqlite"), *folder.glob(f"*{FOLDER_ENDING}")])


def _read_shards(place: Path) -> CacheFile:
    try:
        folder = Folder(str(place))
        fields = read_claim(folder)
        return CacheFile(place, sum(folder.all_files().values()), count(folder, fields), fields)
    except (ImportError, OSError, ValueError) as error:
        raise RecipeError(str(place), f"is not a usable cache: {error}") from error


def _remove_shards(place: Path | str) -> Path | str:
    """Remove a folder in which nothing but a cache is, damaged or not."""
    try:
        folder = Folder(str(place))
        if not folder.all_files():
            raise RecipeError(str(place), "is no cache")
        if others := foreign(folder):
            raise RecipeError(
                str(place), f"is not removed: {others[0]} in it is no file of a cache"
            )
        folder.remove()
    except (ImportError, OSError, ValueError) as error:
        raise RecipeError(str(place), f"is not a usable cache: {error}") from error
    return place


def _refuse_others(path: Path) -> None:
    """Refuse what no cache ever was; a damaged one has the lock beside it that it was made with."""
    try:
        _read(path)
    except RecipeError as error:
        damaged = not isinstance(error.__cause__, ForeignDatabaseError)
        if not (damaged and path.with_name(f"{path.name}.lock").is_file()):
            raise


def _read(path: Path) -> CacheFile:
    try:
        connection = connect(path)
        try:
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            counts = connection.execute(
                "SELECT name, (SELECT count(*) FROM entries WHERE key >> 53 = id) FROM tensors"
            ).fetchall()
        finally:
            connection.close()
        fields = read_fields(facts.get("fields", "{}"))
    except (sqlite3.DatabaseError, ForeignDatabaseError, ValueError) as error:
        raise RecipeError(str(path), f"is not a usable cache: {error}") from error
    beside = [path.with_name(path.name + ending) for ending in _BESIDE]
    size = sum(file.stat().st_size for file in (path, *beside) if file.exists())
    return CacheFile(path, size, dict(counts), fields)
