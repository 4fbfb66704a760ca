"""A folder of teacher outputs in shards, for machines that share no disk that SQLite could use."""

import json
import re
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

from distill.cache.folder import Folder
from distill.cache.shard import ENDING, pack, read_head
from distill.cache.shard_view import ShardView
from distill.cache.store import Entry, read_fields
from distill.core.errors import RecipeError
from distill.core.fingerprint import Fields, difference, fingerprint

FOLDER_ENDING = ".shards"
SHARD_BYTES, SHARD_SECONDS = 32 * 2**20, 60.0
"""Rows are held back until there are so many bytes of them, or the oldest is so old."""
_FORMAT, _CLAIM, _MOST_VIEWS = "1", "fields.{}.json", 16
_PLACE = re.compile(rf"[^/]+/\d+/[0-9a-f]{{32}}{re.escape(ENDING)}")
# Those that a killed writer had not finished begin with a point.
_OURS = re.compile(
    rf"(?:[^/]+/\d+/)?(?:[0-9a-f]{{32}}{re.escape(ENDING)}|fields\.[0-9a-f]{{16}}\.json|\.[^/]+)"
)


def is_sharded(place: str) -> bool:
    """Whether a cache of this name is one of shards: it ends on ``.shards``, or is a URL."""
    return "://" in place or place.rstrip("/").endswith(FOLDER_ENDING)


class ShardStore:
    """Entries by (tensor, view, sample) in files that are written whole, by any number of writers.

    No file is ever changed, and none has the name of another with other content, so there are no
    locks: writers do not wait for each other, on one machine or many. What two of them computed is
    there twice, and read once. Rows are held back until a file of them is worth writing; a kill
    loses these, and no others.

    Args:
        place: The folder or URL, made if missing.
        fields: Everything that the entries depend on.

    Raises:
        RecipeError: If it cannot be used, or its entries were computed with other fields, naming
            the first that differs.
    """

    def __init__(self, place: str, fields: Fields) -> None:
        self.path: Path | str = place if "://" in place else Path(place)
        self._fields = fingerprint(fields)
        self._pending = dict[tuple[str, int], dict[int, Entry]]()
        self._held, self._since = 0, 0.0
        self._views = dict[tuple[str, int], ShardView]()
        try:
            self._folder = Folder(place)
            self._claim(fields)
        except (ImportError, OSError, ValueError) as error:
            detail = " ".join(str(error).split())
            raise RecipeError(place, f"is not a usable cache: {detail}") from error

    def read(self, tensor: str, view: int, samples: Sequence[int]) -> list[Entry | None]:
        """Read the entries of samples, None for missing ones.

        Raises:
            RecipeError: If a shard is damaged, naming it.
        """
        pending = self._pending.get((tensor, view), {})
        found = {sample: pending[sample] for sample in samples if sample in pending}
        shards = self._view(tensor, view)
        found |= shards.read([sample for sample in samples if sample not in found])
        missing = [sample for sample in samples if sample not in found]
        if missing and shards.list_again():
            found |= shards.read(missing)
        return [found.get(sample) for sample in samples]

    def write(
        self, tensor: str, view: int, samples: Sequence[int], entries: Iterable[Entry]
    ) -> None:
        """Add entries, where they are not known yet; a file is written where there are enough.

        Raises:
            OSError: If the disk is full.
        """
        pending = self._pending.setdefault((tensor, view), {})
        known = self._view(tensor, view).known(samples)
        if not self._held:
            self._since = time.monotonic()
        for sample, entry in zip(samples, entries, strict=True):
            if sample not in known and sample not in pending:
                pending[sample] = entry
                self._held += len(entry.data) + 24
        if self._held > SHARD_BYTES or time.monotonic() - self._since > SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the entries that are held back.

        Raises:
            OSError: If the disk is full.
        """
        for tensor, view in list(self._pending):
            rows = self._pending[tensor, view]
            for shape in {entry.shape for entry in rows.values()}:
                of_shape = {s: e for s, e in rows.items() if e.shape == shape}
                name, content = pack(_about(self._fields, tensor, view), of_shape)
                self._folder.write(f"{_below(tensor, view)}/{name}", content)
                self._view(tensor, view).add(name, read_head(name, {}, partial(_part, content)))
            del self._pending[tensor, view]
        self._held = 0

    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._folder.all_files().values())

    def close(self) -> None:
        """Write what is held back, and close the files."""
        self.flush()
        self._folder.close()

    def _claim(self, fields: Fields) -> None:
        """Leave the fields in a file named after them; who finds others there is refused.

        Of two that come at the same moment the one with the first name stays.
        """
        own = _CLAIM.format(self._fields[:16])
        if claims := _claims(self._folder):
            ours = False
        else:
            text = json.dumps({"format": _FORMAT, "fields": dict(fields)}, sort_keys=True)
            self._folder.write(own, text.encode())
            claims, ours = _claims(self._folder), True
        if claims[0] == own:
            return
        differs = difference(read_claim(self._folder), fields)
        if ours:
            self._folder.remove(own)
        advice = "name another folder, or remove this one with `distill cache rm`"
        message = f"contains outputs of other settings: {differs}; {advice}"
        raise RecipeError(str(self.path), message)

    def _view(self, tensor: str, view: int) -> ShardView:
        """The shards of a view; those of the latest views are remembered."""
        key = tensor, view
        found = self._views.pop(key, None)
        if found is None:
            found = ShardView(
                self._folder, _below(tensor, view), _about(self._fields, tensor, view)
            )
        self._views[key] = found
        if len(self._views) > _MOST_VIEWS:
            self._views.pop(next(iter(self._views)))
        return found


def read_claim(folder: Folder) -> dict[str, str]:
    """Read the fields that a cache of shards was made for.

    Raises:
        ValueError: If it is none, or they cannot be read.
    """
    claims = _claims(folder)
    if not claims:
        raise ValueError("no cache of shards")
    try:
        claim = json.loads(folder.read(claims[0]))
        made_as, fields = claim["format"], read_fields(json.dumps(claim["fields"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"damaged: {claims[0]} cannot be read: {error}") from error
    if made_as != _FORMAT:
        raise ValueError(f"of another format: {made_as}")
    if _CLAIM.format(fingerprint(fields)[:16]) != claims[0]:
        raise ValueError(f"damaged: {claims[0]} does not match the hash in its name")
    return fields


def count(folder: Folder, fields: Fields) -> dict[str, int]:
    """Count the entries of each tensor.

    Raises:
        RecipeError: If a shard is damaged, naming it.
    """
    made_for, found = fingerprint(fields), dict[str, int]()
    shards = [path for path in folder.all_files() if _PLACE.fullmatch(path)]
    for below in sorted({path.rpartition("/")[0] for path in shards}):
        tensor, view = unquote(below.partition("/")[0]), int(below.partition("/")[2])
        entries = len(ShardView(folder, below, _about(made_for, tensor, view)))
        found[tensor] = found.get(tensor, 0) + entries
    return found


def foreign(folder: Folder) -> list[str]:
    """List the files that are none of a cache."""
    return [path for path in folder.all_files() if not _OURS.fullmatch(path)]


def _part(content: bytes, start: int, end: int) -> bytes:
    return content[start:end]


def _claims(folder: Folder) -> list[str]:
    return [name for name in folder.names() if name.startswith("fields.")]


def _below(tensor: str, view: int) -> str:
    return f"{quote(tensor, safe='@')}/{view}"


def _about(fields: str, tensor: str, view: int) -> dict[str, str]:
    return {"format": _FORMAT, "fields": fields, "tensor": tensor, "view": str(view)}
