"""Three sets of samples, their loaders, and the augmentation of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from distill.core.batch import Batch
from distill.core.fingerprint import tensors_digest
from distill.core.randomness import fold, permutation
from distill.data.datasets import BatchKey, InMemoryImages, LazyImages, Samples
from distill.data.loader import (
    KeyedLoader,
    KeyedSampler,
    SequentialBatchSampler,
    Views,
    batches_started,
)
from distill.data.paired import Added, PairedSampler


@dataclass
class Pipeline:
    """Makes batches of three sets of samples.

    Attributes:
        batch_size: Samples per training batch and process.
        workers: Loader processes; 0 loads in the training process.
        augment: Augmentations, applied in order to training batches only.
        seed: Determines order and views; None: the run's seed.
        repeat: Epoch e shows the views of epoch ``e % repeat``; None: every epoch shows new ones.
        eval_batch_size: Samples per evaluation batch.
        added: Unlabelled samples that every training batch has behind its labelled ones.
        run_seed: The seed of the run.
        current: The views that training shows, from the last ``train_loader`` on.
    """

    batch_size: int
    workers: int
    augment: Sequence[nn.Module]
    seed: int | None = None
    repeat: int | None = None
    eval_batch_size: int = 256
    train: Samples | None = None
    val: Samples | None = None
    test: Samples | None = None
    added: Added | None = None
    run_seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("workers", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        self.current = self.views()

    @property
    def key_seed(self) -> int:
        """Seed of order and views."""
        return self.run_seed if self.seed is None else self.seed

    def sizes(self) -> dict[str, int]:
        """Number of samples by set, of the sets that are set up."""
        sets = {"train": self.train, "val": self.val, "test": self.test}
        return {name: len(samples.ids) for name, samples in sets.items() if samples is not None}

    def highest_index(self) -> int:
        """The largest number of a training sample."""
        ids = [_require(self.train, "train").ids, *([self.added.ids] if self.added else [])]
        return int(torch.cat(ids).max())

    def views(self) -> Views:
        """Make the views of training."""
        keyed_crops = isinstance(self.train, LazyImages) and self.train.keyed_crops
        return Views(self.augment, self.key_seed, self.repeat, keyed_crops)

    def train_loader(self, trainer: pl.Trainer | None) -> KeyedLoader:
        """Make the loader of training batches, from the trainer's progress on.

        Raises:
            ValueError: If a whole batch cannot be made.
        """
        samples = _require(self.train, "train")
        world = trainer.world_size if trainer else 1
        length = len(samples.ids) // (self.batch_size * world)
        if length == 0:
            have, want = len(samples.ids), self.batch_size * world
            raise ValueError(f"data.batch_size needs {want} training images, there are {have}")
        if trainer and trainer.limit_train_batches is not None:
            length = _limited(length, trainer.limit_train_batches)
            trainer.limit_train_batches = length  # of this loader it would take the share again
        rank, self.current = trainer.global_rank if trainer else 0, self.views()
        sampler: Sampler[BatchKey] = KeyedSampler(
            samples.ids,
            self.batch_size,
            self.current,
            batches_started=partial(batches_started, trainer),
            epoch_length=length,
            rank=rank,
            world=world,
        )
        if self.added is not None:
            sampler = PairedSampler(sampler, *self.added, self.key_seed, rank, world)
        return KeyedLoader(samples, sampler, self.workers)

    def eval_loader(self, stage: str) -> KeyedLoader:
        """Make a loader of every sample of ``val`` or ``test`` once, in order."""
        samples = _require(self.val if stage == "val" else self.test, stage)
        # Indexing memory is faster than a worker process.
        workers = 0 if isinstance(samples, InMemoryImages) else self.workers
        return KeyedLoader(
            samples, SequentialBatchSampler(samples.ids, self.eval_batch_size), workers
        )

    def example(self, n: int) -> Batch:
        """Make a batch of the first ``n`` training (or test) samples, not augmented."""
        samples = _require(self.train or self.test, "train")
        return samples[BatchKey(0, samples.ids[:n])]

    def val_example(self, n: int) -> Batch:
        """Make a batch of ``n`` validation samples, from both ends; of all where they are fewer."""
        samples = _require(self.val, "val")
        ids = samples.ids if len(samples.ids) <= n else samples.ids[: n - n // 2]
        if len(samples.ids) > n > 1:
            ids = torch.cat([ids, samples.ids[-(n // 2) :]])
        return samples[BatchKey(0, ids)]

    def batch(self, key: BatchKey) -> Batch:
        """Make the batch of training samples that a key names, not augmented."""
        return _require(self.train, "train")[key]

    def augmented(self, batch: Batch) -> Batch:
        """Augment each sample of a training batch by its key."""
        return self.views().augmented(batch)

    def fingerprint(self, trainer: pl.Trainer | None, of_batch: bool = False) -> dict[str, str]:
        """List what the views (epoch, sample) of training depend on, by dotted key.

        Args:
            trainer: The trainer, if there is one.
            of_batch: Whether outputs also depend on the other samples of the batch, as they always
                do where images of a batch are mixed.

        Raises:
            ValueError: If they do, and the same views recur in other batches.
        """
        samples, views = _require(self.train, "train"), self.views()
        fields = {"data.train": samples.digest(), **views.fields()}
        if of_batch and not views.mixed:
            if views.fixed or views.repeat:
                raise ValueError("the same views recur in other batches")
            fields |= {"data.seed": str(self.key_seed)}
        if views.mixed or of_batch:
            devices = trainer.world_size if trainer else 1
            fields |= {
                "data.batch_size": f"{self.batch_size} on each of {devices}",
                "data.train_samples": tensors_digest({"ids": samples.ids}),
                "trainer.limit_train_batches": str(len(self.train_loader(trainer))),
            }
            if self.added is not None:
                ids = tensors_digest({"ids": self.added.ids})
                fields["data.unlabelled_batch_size"] = f"{self.added.batch_size} of {ids}"
        return fields


def split(ids: Tensor, share: float, key: int) -> tuple[Tensor, Tensor]:
    """Divide samples by key: a share of them, rounded, and the rest, each in ascending order.

    Example:
        >>> import torch
        >>> few, many = split(torch.arange(10), 0.2, key=1)
        >>> len(few), len(many), sorted(torch.cat([few, many]).tolist()) == list(range(10))
        (2, 8, True)
    """
    order = ids[permutation(key, len(ids))]
    taken = round(share * len(ids))
    return order[:taken].sort().values, order[taken:].sort().values


def split_validation(ids: Tensor, share: float, key: int) -> tuple[Tensor, Tensor]:
    """Divide samples by key: a share of them for validation, and the rest.

    Raises:
        ValueError: If none are left for validation.
    """
    val, rest = split(ids, share, key)
    if len(val) == 0:
        raise ValueError(f"data.val must give at least one image, it gives 0 of {len(ids)}")
    return val, rest


def subsample(ids: Tensor, n: int | None) -> Tensor:
    """Select ``n`` samples by key; all of them for None.

    Raises:
        ValueError: If there are fewer than ``n``.
    """
    if n is None:
        return ids
    if not 0 < n <= len(ids):
        raise ValueError(f"data.train_samples must be in 1..{len(ids)}, got {n}")
    return ids[permutation(fold("train samples"), len(ids))[:n]].sort().values


def _require(samples: Samples | None, stage: str) -> Samples:
    if samples is None or len(samples.ids) == 0:
        raise ValueError(f"no {stage} images: give data.{stage}")
    return samples


def _limited(length: int, limit: int | float) -> int:
    return min(length, limit) if isinstance(limit, int) else max(1, int(length * limit))
