"""Cross-entropy with label smoothing: Szegedy et al., CVPR 2016, arXiv 1512.00567.

torch's, with the weights of classes as a list, as a recipe can write them, and with a value for
batches in which nothing is labelled, where torch's mean is NaN.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative
from distill.losses.task.targets import shares


def cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Tensor:
    """Mean of -w_y ((1 - e) log p_y + e mean_k(w_k log p_k) / w_y), p the softmax, y the target.

    Without weights w all are 1. For an unbalanced set they are often n / (k n_y), for n images of k
    classes of which n_y are of class y. With shares t of the classes instead of class numbers,
    sum_k t_k w_k log p_k is in the place of w_y log p_y.

    Args:
        input: Logits (b, k), or (b, k, ...) of maps.
        target: Class numbers (b, ...), or shares of the classes (b, k, ...), as mixup gives.
        weight: Weights of the classes (k,), at least 0.
        label_smoothing: The share e that is spread over all classes, in 0..1.
        ignore_index: The class number of what does not count, as of images without a label.

    Returns:
        The sum over what counts, divided by the sum of its w_y (by its number for shares), in
        nats, as in torch; 0 with a gradient of 0 where that is 0, so where nothing is labelled.

    Raises:
        ValueError: If the shapes do not belong together, a class number is out of range, or the
            weights or the label smoothing are.

    Example:
        >>> logits, target = torch.zeros(2, 4), torch.tensor([3, -100])
        >>> f"{cross_entropy_loss(logits, target):.4f}"
        '1.3863'
        >>> cross_entropy_loss(logits, torch.tensor([-100, -100]))
        tensor(0.)
    """
    if input.ndim < 2 or input.shape[1] == 0:
        found = tuple(input.shape)
        raise ValueError(f"input needs shape (b, k, ...) with at least one class, got {found}")
    _check(label_smoothing)
    share, known = shares(input, target, ignore_index)
    logits = at_least_float32(input).masked_fill(~known.unsqueeze(1), 0.0)
    weight = None if weight is None else _of_classes(weight, logits)
    numbers = not target.is_floating_point()
    total = F.cross_entropy(
        logits,
        target.long() if numbers else share,
        weight,
        ignore_index=ignore_index,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    counts = known.sum().to(logits.dtype)
    if weight is not None and numbers:
        counts = torch.einsum("bk...,k->", share, weight)
    return total / torch.where(counts > 0, counts, 1.0)


class CrossEntropyLoss(nn.Module):
    """Module form of :func:`cross_entropy_loss`, for recipes; ``weight`` becomes a buffer.

    Example:
        >>> loss = CrossEntropyLoss(weight=[1.0, 3.0])
        >>> loss(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))
        tensor(1.6269)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
    ) -> None:
        super().__init__()
        _check(label_smoothing)
        for value in weight or ():
            not_negative("weight", value)
        if weight is not None and not sum(weight) > 0:
            raise ValueError(f"weight needs a number above 0 for at least one class, got {weight}")
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self.register_buffer("weight", None if weight is None else torch.tensor(weight).float())

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`cross_entropy_loss`."""
        return cross_entropy_loss(
            input, target, self.weight, self.label_smoothing, self.ignore_index
        )


def _check(label_smoothing: float) -> None:
    if not (math.isfinite(label_smoothing) and 0 <= label_smoothing <= 1):
        raise ValueError(f"label_smoothing must be in 0..1, got {label_smoothing}")


def _of_classes(weight: Tensor, logits: Tensor) -> Tensor:
    if weight.shape != logits.shape[1:2]:
        n_classes, found = logits.shape[1], tuple(weight.shape)
        raise ValueError(f"weight needs one number per class, {n_classes}, got shape {found}")
    return weight.to(logits.dtype)
