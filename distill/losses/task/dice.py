"""Dice loss: Milletari, Navab and Ahmadi, 3DV 2016, arXiv 1606.04797 (V-Net).

The paper's coefficient, with squares in the denominator, which it writes for one foreground; here
it is over a softmax, one coefficient for each class that an image has. Code that leaves out the
squares computes another loss, which is not 0 where soft shares are predicted exactly. No smoothing
constant is needed: a class that is there has a denominator above 0.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from distill.losses.checks import at_least_float32
from distill.losses.task.targets import same_rank, shares


def dice_loss(input: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """1 - Dice, Dice = 2 sum(p t) / (sum p^2 + sum t^2) over the pixels of an image and class.

    p is the softmax of the input and t the target's share, 1 or 0 for class numbers. What is
    predicted of a class that an image does not have counts through what the others lack.

    Args:
        input: Logits (b, k, h, w).
        target: Class numbers (b, h, w), or shares of the classes (b, k, h, w).
        ignore_index: The class number of pixels that do not count, often 255 in data sets.

    Returns:
        The mean over images of the mean over the classes that the image has, in 0..1; images
        without a labelled pixel do not count, and without any it is 0 with a gradient of 0.

    Raises:
        ValueError: If the shapes do not belong together or a class number is out of range.

    Example:
        >>> target = torch.tensor([[[0, 1]]])
        >>> dice_loss(torch.zeros(1, 2, 1, 2), target)  # p = 1/2: 1 - 2 (1/2) / (1/2 + 1)
        tensor(0.3333)
    """
    same_rank(input, "b k h w")
    share, known = shares(input, target, ignore_index)
    logits = at_least_float32(input).masked_fill(~known.unsqueeze(1), 0.0)
    p = logits.softmax(dim=1) * known.unsqueeze(1)
    p, t = (rearrange(value, "b k h w -> b k (h w)") for value in (p, share))
    present = t.square().sum(2) > 0
    size = p.square().sum(2) + t.square().sum(2)
    # 1 - 2 p t / size, without taking the difference of two numbers near 1.
    lack = (p - t).square().sum(2) / torch.where(present, size, 1.0)
    images = torch.where(present, lack, 0.0).sum(1) / present.sum(1).clamp_min(1)
    return images.sum() / present.any(1).sum().clamp_min(1)


class DiceLoss(nn.Module):
    """Module form of :func:`dice_loss`, for recipes.

    Example:
        >>> loss = DiceLoss(ignore_index=255)
        >>> loss(torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]]))
        tensor(0.3333)
    """

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`dice_loss`."""
        return dice_loss(input, target, self.ignore_index)
