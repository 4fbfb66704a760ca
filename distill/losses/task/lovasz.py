"""Lovasz-Softmax: Berman, Rannen Triki and Blaschko, CVPR 2018, arXiv 1705.08790.

The convex extension of 1 - IoU from hard to soft predictions. The defaults are the authors':
one IoU over the whole batch, the mean over the classes that are in its targets.
"""

from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from distill.losses.checks import at_least_float32
from distill.losses.task.targets import one_hot, same_rank

Per = Literal["batch", "image"]
Classes = Literal["present", "all"]
_GROUPS = {"batch": "b k h w -> 1 k (b h w)", "image": "b k h w -> b k (h w)"}


def lovasz_loss(
    input: Tensor,
    target: Tensor,
    per: Per = "batch",
    classes: Classes = "present",
    ignore_index: int = -100,
) -> Tensor:
    """The Lovasz extension of 1 - IoU at the errors of the softmax (algorithm 1).

    The errors of a class, 1 - p on its own pixels and p on others, are sorted downwards; each is
    multiplied by what its pixel adds to 1 - IoU if the pixels before it are wrong already. For
    predictions of 0 and 1 this is 1 - IoU.

    Args:
        input: Logits (b, k, h, w).
        target: Class numbers (b, h, w).
        per: ``batch``, one IoU over all pixels of the batch, or ``image``, the mean of one per
            image.
        classes: ``present``, the mean over the classes in the targets (of the batch or image), or
            ``all``; a class that is not there then counts with its largest error.
        ignore_index: The class number of pixels that do not count, often 255 in data sets.

    Returns:
        The mean, in 0..1; images without a labelled pixel do not count, and without any it is 0
        with a gradient of 0.

    Raises:
        ValueError: If the shapes do not belong together, a class number is out of range, or an
            option is unknown.

    Example:
        >>> target = torch.tensor([[[0, 1]]])
        >>> lovasz_loss(torch.zeros(1, 2, 1, 2), target)
        tensor(0.5000)
    """
    same_rank(input, "b k h w")
    _known(per, classes)
    own, known = one_hot(input, target, ignore_index)
    p = at_least_float32(input).masked_fill(~known.unsqueeze(1), 0.0).softmax(dim=1)
    # An ignored pixel has error 0 and so comes last, where it adds nothing.
    errors = torch.where(own, 1 - p, p) * known.unsqueeze(1)
    errors, own, counts = (
        rearrange(value, _GROUPS[per]) for value in (errors, own, known.unsqueeze(1).expand_as(own))
    )
    errors, order = errors.sort(dim=2, descending=True)
    values = (errors * _increments(own.gather(2, order), errors.dtype)).sum(2)
    counted = (own if classes == "present" else counts).any(2)
    groups = (values * counted).sum(1) / counted.sum(1).clamp_min(1)
    return groups.sum() / counted.any(1).sum().clamp_min(1)


class LovaszLoss(nn.Module):
    """Module form of :func:`lovasz_loss`, for recipes.

    Example:
        >>> loss = LovaszLoss(ignore_index=255)
        >>> loss(torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]]))
        tensor(0.5000)
    """

    def __init__(
        self, per: Per = "batch", classes: Classes = "present", ignore_index: int = -100
    ) -> None:
        super().__init__()
        _known(per, classes)
        self.per, self.classes, self.ignore_index = per, classes, ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`lovasz_loss`."""
        return lovasz_loss(input, target, self.per, self.classes, self.ignore_index)


def _known(per: Per, classes: Classes) -> None:
    if per not in ("batch", "image"):
        raise ValueError(f"per must be 'batch' or 'image', got {per!r}")
    if classes not in ("present", "all"):
        raise ValueError(f"classes must be 'present' or 'all', got {classes!r}")


def _increments(own: Tensor, dtype: torch.dtype) -> Tensor:
    """Increase of 1 - I / U by each pixel when all pixels before it are wrong.

    A pixel of the class takes 1 from I, another adds 1 to U: 1 / U and I / (U (U - 1)). These
    forms keep their digits where differences of 1 - I / U would lose them.

    Args:
        own: Whether a pixel is of the class (..., pixels), in the order of errors.
        dtype: Of the result.
    """
    size = own.sum(-1, keepdim=True, dtype=torch.int32)
    overlap = (size - own.cumsum(-1, dtype=torch.int32)).to(dtype)
    union = (size + (~own).cumsum(-1, dtype=torch.int32)).to(dtype)
    # Where the class is nowhere, the first pixel adds all: from IoU 1 of two empty sets to 0.
    added = torch.where(union > 1, overlap / (union * (union - 1).clamp_min(1)), 1.0)
    return torch.where(own, 1 / union.clamp_min(1), added)
