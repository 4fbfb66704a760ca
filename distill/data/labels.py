"""Selects the images that keep their labels: a share of each class, by key."""

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
    kept = []
    for number in torch.unique(targets).tolist():
        own = ids[targets == number].sort().values
        order = own[permutation(fold("labels", number), len(own))]
        kept.append(order[: max(1, round(share * len(own)))])
    return torch.cat(kept).sort().values
