"""The keyed loader: samples and views of batch number i of a run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

from distill.core.batch import Batch
from distill.core.fingerprint import module_fields
from distill.core.randomness import fold, permutation
from distill.data.datasets import BatchKey, Samples


@runtime_checkable
class Mixing(Protocol):
    """An augmentation that may mix the images of a batch with each other."""

    mixes: bool


@dataclass(frozen=True)
class Views:
    """The augmentations of a run, with the seed of the views and of the order of samples.

    Attributes:
        augment: Augmentations, in order.
        seed: Runs that share it see the same views.
        repeat: Epoch e shows the views of epoch ``e % repeat``; None: every epoch shows new ones.
        keyed_crops: Whether samples are keyed crops already when they are decoded.

    Raises:
        ValueError: If ``repeat`` is below 1.
    """

    augment: Sequence[nn.Module]
    seed: int
    repeat: int | None = None
    keyed_crops: bool = False

    def __post_init__(self) -> None:
        if self.repeat is not None and self.repeat < 1:
            raise ValueError(f"views must be at least 1, got {self.repeat}")

    @property
    def mixed(self) -> bool:
        """Whether a sample's view depends on its batch, so that views repeat with whole batches."""
        return any(isinstance(each, Mixing) and each.mixes for each in self.augment)

    @property
    def fixed(self) -> bool:
        """Whether every epoch shows the images as they are."""
        return not (self.augment or self.keyed_crops)

    def of_epoch(self, epoch: int) -> int:
        """Number of the views that an epoch shows."""
        if self.fixed:
            return 0
        return epoch % self.repeat if self.repeat else epoch

    def augmented(self, batch: Batch) -> Batch:
        """Augment each sample of a training batch by its key."""
        for place, augmentation in enumerate(self.augment):
            batch = augmentation(batch, fold(self.seed, "augment", place, batch.epoch))
        return batch

    def fields(self) -> dict[str, str]:
        """List what the views depend on, beside the images, by dotted key."""
        fields = {} if self.fixed else {"data.seed": str(self.seed)}
        for place, augmentation in enumerate(self.augment):
            fields |= module_fields(f"data.augment.{place}", augmentation)
        return fields


def batches_started(trainer: pl.Trainer | None) -> int:
    """Count the training batches that a run has started; 0 without a trainer."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready if trainer else 0


class KeyedSampler(Sampler[BatchKey]):
    """Yields the batch keys of one epoch, from any batch on.

    The order is a function of (seed, epoch). Each pass starts at the number of batches that the run
    has already started, so a resumed run continues in mid-epoch.

    Args:
        ids: Sample numbers (n,).
        batch_size: Samples per batch and process.
        views: The seed, and the views of each epoch.
        batches_started: Counts the batches that the run has started.
        epoch_length: Batches per epoch, at most ``n // (batch_size * world)``.
        rank: This process.
        world: Processes that share each global batch.
    """

    def __init__(
        self,
        ids: torch.Tensor,
        batch_size: int,
        views: Views,
        batches_started: Callable[[], int],
        epoch_length: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._ids, self._batch_size, self._views = ids, batch_size, views
        self._batches_started, self._epoch_length = batches_started, epoch_length
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._epoch_length

    def __iter__(self) -> Iterator[BatchKey]:
        """Yield the remaining keys of the epoch that the run is in."""
        epoch, first = divmod(self._batches_started(), self._epoch_length)
        view = self._views.of_epoch(epoch)
        ordered = view if self._views.mixed else epoch
        key = fold(self._views.seed, "order", ordered)
        order = self._ids[permutation(key, len(self._ids))]
        for batch in range(first, self._epoch_length):
            start = (batch * self._world + self._rank) * self._batch_size
            samples = order[start : start + self._batch_size]
            yield BatchKey(view, samples, step=ordered * self._epoch_length + batch)


class SequentialBatchSampler(Sampler[BatchKey]):
    """Yields every sample once, in order, for evaluation."""

    def __init__(self, ids: torch.Tensor, batch_size: int) -> None:
        self._ids, self._batch_size = ids, batch_size

    def __len__(self) -> int:
        """Number of batches; the last one may be smaller."""
        return -(-len(self._ids) // self._batch_size)

    def __iter__(self) -> Iterator[BatchKey]:
        """Yield batch keys of epoch 0."""
        for start in range(0, len(self._ids), self._batch_size):
            yield BatchKey(0, self._ids[start : start + self._batch_size])


class KeyedLoader(DataLoader[Batch]):
    """A loader whose position is a function of the trainer's progress: it has no state to save.

    The two empty state methods tell Lightning that it may resume in mid-epoch.
    """

    def __init__(self, dataset: Samples, sampler: Sampler[BatchKey], workers: int) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]
            sampler=sampler,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Empty: the position follows from the trainer's progress."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: there is no state."""
