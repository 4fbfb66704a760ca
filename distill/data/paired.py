"""Batches of labelled samples with a number of unlabelled ones added to each."""

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
        batch_size: Number of them in a batch of each process.
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
        batch_size: Unlabelled samples per batch and process.
        seed: Determines their order.
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
        self._labeled, self._ids, self._batch_size = labelled, ids, batch_size
        self._seed, self._rank, self._world = seed, rank, world
        most = len(ids) // (len(self) * world)
        if batch_size > most:
            reason = f"an epoch has {len(self)} batches and there are {len(ids)} unlabelled images"
            raise ValueError(f"unlabelled_batch_size must be at most {most}: {reason}")

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._labeled)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[BatchKey]:
        """Yield the keys of labelled samples, each with unlabelled samples appended."""
        epoch, order = -1, self._ids
        for key in self._labeled:
            now, batch = divmod(key.step, len(self))
            if now != epoch:
                epoch = now
                order = self._order(epoch)
            start = (batch * self._world + self._rank) * self._batch_size
            added = order[start : start + self._batch_size]
            yield key._replace(samples=torch.cat([key.samples, added]))

    def _order(self, epoch: int) -> Tensor:
        return self._ids[permutation(fold(self._seed, "unlabelled order", epoch), len(self._ids))]
