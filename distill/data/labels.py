"""Which images keep their labels: a share of each class, by key."""

import torch
from torch import Tensor

from distill.core.randomness import fold, permutation


def select_labelled(ids: Tensor, targets: Tensor, share: float) -> Tensor:
    """The samples that keep their labels: of each class a share, rounded, but at least one.

    They follow from the sample numbers and nothing else, so every run of a study has the same ones,
    and those of a smaller share are among those of a larger one.

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
