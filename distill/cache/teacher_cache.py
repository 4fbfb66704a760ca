"""Reads a teacher's outputs for a batch from a cache, or computes and stores them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from distill.cache.encoding import LOGITS, Encoding
from distill.cache.settings import CacheSettings
from distill.cache.shard_store import ShardStore, is_sharded
from distill.cache.store import Entry, Store
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.fingerprint import Fields, fingerprint, view_hash

FOLDER = Path("runs/cache")
_EVALUATED, _KEY_BITS = "teacher.logits of evaluation", 53
_EXACT = Encoding(CacheSettings())


class TeacherCache:
    """Stores a teacher's outputs by view, and checks that the pixels of a view have not changed.

    Args:
        settings: Of the file and its precision.
        fields: Everything that the outputs depend on, except the settings.
        names: The context keys that are read, for instance ``teacher.logits``.

    Attributes:
        store: The file, or the shards.
        misses: Batches that the teacher had to compute.

    Raises:
        RecipeError: If the file contains outputs of other settings.
    """

    def __init__(self, settings: CacheSettings, fields: Fields, names: Sequence[str]) -> None:
        fields = {**fields, **settings.fields()}
        auto = FOLDER / f"{fingerprint(fields)[:16]}.sqlite"
        self.store: Store | ShardStore
        if is_sharded(settings.file):
            self.store = ShardStore(settings.file, fields)
        else:
            self.store = Store(auto if settings.file == "auto" else Path(settings.file), fields)
        self.misses = 0
        self._names, self._encoding = list(names), Encoding(settings)
        self._writes = True

    def outputs(
        self, batch: Batch, compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Read the named outputs for a batch, or compute, store and read them back.

        Args:
            batch: Views; their epochs and sample numbers are the keys.
            compute: Runs the teacher on the batch; called if an entry is missing.

        Raises:
            RecipeError: If an entry is damaged, or was computed from another image.
        """
        samples: list[int] = batch.index.tolist()
        hashes: list[int] = view_hash(batch.image).tolist()
        found = {}
        for name in self._names:
            entries = self.store.read(name, batch.epoch, samples)
            whole = [entry for entry in entries if entry is not None]
            self._check_pixels(batch.epoch, samples, hashes, entries)
            if len(whole) < len(samples):
                return self._compute(batch, samples, hashes, compute())
            records = [entry.data for entry in whole]
            value = self._encoding.decode(name, records, whole[0].shape)
            found[name] = value.to(batch.image.device, non_blocking=True)
        return found

    def logits(self, batch: Batch, compute: Callable[[], Tensor]) -> Tensor:
        """Read or compute logits (b, k), float32, for images without augmentation.

        They are stored exactly, by the image alone.

        Args:
            batch: Images.
            compute: Runs the teacher on the batch; called where an entry is missing.

        Raises:
            RecipeError: If an entry is damaged.
        """
        hashes: list[int] = view_hash(batch.image).tolist()
        keys = [value & (1 << _KEY_BITS) - 1 for value in hashes]
        entries = self.store.read(_EVALUATED, 0, keys)
        kept = [
            e
            for e, now in zip(entries, hashes, strict=True)
            if e is not None and e.pixel_hash == now
        ]
        if len(kept) == len(hashes):
            value = _EXACT.decode(LOGITS, [entry.data for entry in kept], kept[0].shape)
            return value.to(batch.image.device)
        value = compute().float()
        records, shape = _EXACT.encode(LOGITS, value)
        rows = [Entry(s, shape, record) for s, record in zip(hashes, records, strict=True)]
        self._write(_EVALUATED, 0, keys, rows)
        return value

    def _compute(
        self, batch: Batch, samples: list[int], hashes: list[int], outputs: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        self.misses += 1
        found = {}
        for name in self._names:
            records, shape = self._encoding.encode(name, outputs[name])
            rows = [Entry(s, shape, record) for s, record in zip(hashes, records, strict=True)]
            self._write(name, batch.epoch, samples, rows)
            found[name] = self._encoding.decode(name, records, shape).to(batch.image.device)
        return found

    def flush(self) -> None:
        """Write what is held back of the entries; a full disk is a warning."""
        self._unless_full(self.store.flush)

    def _write(self, name: str, view: int, samples: list[int], rows: list[Entry]) -> None:
        self._unless_full(lambda: self.store.write(name, view, samples, rows))

    def _unless_full(self, write: Callable[[], None]) -> None:
        if not self._writes:
            return
        try:
            write()
        except OSError as error:
            self._writes = False
            warnings.warn(
                f"the cache is no longer written, training continues: {error}", stacklevel=2
            )

    def _check_pixels(
        self, view: int, samples: list[int], hashes: list[int], entries: Sequence[Entry | None]
    ) -> None:
        for sample, now, entry in zip(samples, hashes, entries, strict=True):
            if entry is not None and entry.pixel_hash != now:
                entry_of = f"entry (sample {sample}, epoch {view}) was made from other pixels"
                why = "an augmentation draws outside its key, or the data changed"
                message = f"data.augment: {entry_of}: {why}; delete the cache"
                raise RecipeError(str(self.store.path), message)
