"""Selects labelled images: a share of each class, or so many of each, by key."""

import torch
from torch import Tensor

from distill.core.randomness import fold, permutation


def select_labelled(ids: Tensor, targets: Tensor, share: float) -> Tensor:
    """Select the samples that keep their labels: a share of each class, rounded, at least one.

    They depend on the sample numbers alone, so every run of a study has the same ones, and a larger
    share contains those of a smaller one.

    Args:
        ids: Sample numbers (n,).
        targets: Their class numbers (n,).
        share: Above 0, at most 1.

    Returns:
        Sample numbers, in ascending order.

    Example:
        >>> few = select_labelled(torch.arange(100), torch.arange(100) % 2, 0.1)
        >>> (few % 2).bincount().tolist()
        [5, 5]
    """
    own = _by_class(ids, targets)
    return _first(own, [max(1, round(share * len(order))) for order in own])


def select_per_class(ids: Tensor, targets: Tensor, n: int) -> Tensor:
    """Select ``n`` samples of each class, or all where there are fewer.

    They are those that :func:`select_labelled` selects, as many as it would be.

    Args:
        ids: Sample numbers (n,).
        targets: Their class numbers (n,).
        n: At least 1.

    Returns:
        Sample numbers, in ascending order.
    """
    own = _by_class(ids, targets)
    return _first(own, [n] * len(own))


def _by_class(ids: Tensor, targets: Tensor) -> list[Tensor]:
    """The samples of each class, shuffled by key."""
    found = []
    for number in torch.unique(targets).tolist():
        own = ids[targets == number].sort().values
        found.append(own[permutation(fold("labels", number), len(own))])
    return found


def _first(orders: list[Tensor], counts: list[int]) -> Tensor:
    kept = [order[:count] for order, count in zip(orders, counts, strict=True)]
    return torch.cat(kept).sort().values
