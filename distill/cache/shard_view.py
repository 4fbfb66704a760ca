"""The rows of one tensor and view in all shards that hold some."""

import time
import zlib
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from distill.cache.folder import Folder
from distill.cache.shard import ENDING, Head, read_head
from distill.cache.store import Entry
from distill.core.errors import RecipeError

RELIST = 10.0
"""Seconds after which a missing row is looked for in shards that others have written since."""


class ShardView:
    """Finds rows by sample. Of rows with one key, the one that was found first is taken.

    Args:
        folder: Of the cache.
        below: The folder of this tensor and view in it.
        about: Whose rows they are.

    Raises:
        RecipeError: If the head of a shard is damaged, naming the shard.
    """

    def __init__(self, folder: Folder, below: str, about: Mapping[str, str]) -> None:
        self._folder, self._below, self._about = folder, below, about
        self._names, self._heads = list[str](), list[Head]()
        # Of each row: its sample, in ascending order, the number of its shard, its place in it.
        self._samples, self._shards, self._rows = (np.empty(0, np.int64) for _ in range(3))
        self._listed = 0.0
        self.list_again()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def read(self, samples: Sequence[int]) -> dict[int, Entry]:
        """Read the rows of those samples that are there.

        Raises:
            RecipeError: If a row is damaged, naming its shard.
        """
        places = self._places(samples)
        shards, rows = self._shards[places], self._rows[places]
        found: dict[int, Entry] = {}
        for shard in np.unique(shards):
            found |= self._rows_of(int(shard), np.unique(rows[shards == shard]))
        return found

    def known(self, samples: Sequence[int]) -> set[int]:
        """Those of the samples that are there."""
        return set(self._samples[self._places(samples)].tolist())

    def list_again(self) -> bool:
        """Look for new shards, unless that was done a moment ago; whether there are any."""
        if self._listed and time.monotonic() - self._listed < RELIST:
            return False
        self._listed = time.monotonic()
        known = set(self._names)
        new = [n for n in self._folder.names(self._below) if _is_shard(n) and n not in known]
        heads = []
        for name in new:
            read = partial(self._folder.read, f"{self._below}/{name}")
            try:
                heads.append(read_head(name, self._about, read))
            except (OSError, ValueError) as error:
                raise self._damaged(name, str(error)) from error
        self._add(new, heads)
        return bool(new)

    def add(self, name: str, head: Head) -> None:
        """Add a shard that was just written."""
        if name not in self._names:
            self._add([name], [head])

    def _add(self, names: Sequence[str], heads: Sequence[Head]) -> None:
        samples, shards, rows = [self._samples], [self._shards], [self._rows]
        for number, head in enumerate(heads, len(self._names)):
            samples.append(head.samples)
            shards.append(np.full(len(head.samples), number))
            rows.append(np.arange(len(head.samples)))
        self._names += names
        self._heads += heads
        self._samples, first = np.unique(np.concatenate(samples), return_index=True)
        self._shards, self._rows = np.concatenate(shards)[first], np.concatenate(rows)[first]

    def _places(self, samples: Sequence[int]) -> NDArray[np.int64]:
        """Where those samples that are there stand in the index."""
        wanted = np.array(samples, np.int64)
        places = np.searchsorted(self._samples, wanted)
        inside = places < len(self._samples)
        places, wanted = places[inside], wanted[inside]
        found: NDArray[np.int64] = places[self._samples[places] == wanted]
        return found

    def _rows_of(self, shard: int, rows: NDArray[np.int64]) -> dict[int, Entry]:
        """Read rows of one shard, those that lie together at once."""
        name, head = self._names[shard], self._heads[shard]
        found: dict[int, Entry] = {}
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            start, length = head.start + int(run[0]) * head.row_bytes, len(run) * head.row_bytes
            try:
                data = self._folder.read_part(f"{self._below}/{name}", start, length)
            except OSError as error:
                raise self._damaged(name, str(error)) from error
            for place, row in enumerate(run):
                own = data[place * head.row_bytes : (place + 1) * head.row_bytes]
                sample = int(head.samples[row])
                if zlib.crc32(own) != head.checksums[row]:
                    raise self._damaged(name, f"sample {sample} does not match its checksum")
                found[sample] = Entry(int(head.pixel_hashes[row]), head.shape, own)
        return found

    def _damaged(self, name: str, what: str) -> RecipeError:
        path = f"{self._folder.root}/{self._below}/{name}"
        why = "remove this file, and its rows are computed again"
        return RecipeError(path, f"is damaged: {' '.join(what.split())}; {why}")


def _is_shard(name: str) -> bool:
    return name.endswith(ENDING) and not name.startswith(".")
