"""Batches of labelled samples, with so many unlabelled ones added to each."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from distill.core.randomness import fold, permutation
from distill.data.datasets import BatchKey


class Added(NamedTuple):
    """Unlabelled samples that are added to batches.

    Attributes:
        ids: Their numbers (n,).
        batch_size: How many of them a batch and process gets.
    """

    ids: Tensor
    batch_size: int


class PairedSampler(Sampler[BatchKey]):
    """Adds unlabelled samples to the batch keys of labelled ones, a function of (seed, epoch) too.

    An epoch is a pass over the labelled samples. It takes as many unlabelled ones as its batches
    need, none twice; the next epoch takes others, by key.

    Args:
        labelled: Yields keys whose ``step`` counts the batches of the run.
        ids: Unlabelled sample numbers (n,).
        batch_size: Of them per batch and process.
        seed: What their order follows from.
        rank: This process.
        world: Processes that share each global batch.

    Raises:
        ValueError: If an epoch needs more unlabelled samples than there are.
    """

    def __init__(
        self,
        labelled: Sampler[BatchKey],
        ids: Tensor,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._labelled, self._ids, self._batch_size = labelled, ids, batch_size
        self._seed, self._rank, self._world = seed, rank, world
        most = len(ids) // (len(self) * world)
        if batch_size > most:
            told = f"an epoch has {len(self)} batches and there are {len(ids)} unlabelled images"
            raise ValueError(f"unlabelled_batch_size must be at most {most}: {told}")

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self._labelled)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[BatchKey]:
        """The labelled samples' keys, the unlabelled samples behind theirs."""
        epoch, order = -1, self._ids
        for key in self._labelled:
            now, batch = divmod(key.step, len(self))
            if now != epoch:
                epoch = now
                order = self._order(epoch)
            start = (batch * self._world + self._rank) * self._batch_size
            added = order[start : start + self._batch_size]
            yield key._replace(samples=torch.cat([key.samples, added]))

    def _order(self, epoch: int) -> Tensor:
        return self._ids[permutation(fold(self._seed, "unlabelled order", epoch), len(self._ids))]
