"""Variational information distillation: Ahn et al., CVPR 2019, arXiv 1904.05835.

A lower bound on the mutual information of the two networks' maps: the student predicts the
teacher's as a Gaussian with one trained variance per channel. Code that keeps the variances in a
plain list neither trains nor saves them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, positive, same_shape

_SMALLEST_VARIANCE = 1e-5


def vid_loss(student: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's maps, without its constant (eq. 4 and 5).

    Args:
        student: Predicted means (b, c, h, w).
        teacher: Maps (b, c, h, w); no gradient flows to them.
        variance: Of each channel (c,); positive.

    Returns:
        The mean over all elements of ((s - t)^2 / variance + log variance) / 2; may be negative.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty, or the
            variance has not c elements.

    Example:
        >>> maps = torch.zeros(1, 1, 2, 2)
        >>> f"{vid_loss(maps, maps, torch.tensor([5.0])):.4f}"
        '0.8047'
    """
    same_shape(student, teacher, "b c h w")
    if variance.shape != (student.shape[1],):
        form, found = f"({student.shape[1]},)", tuple(variance.shape)
        raise ValueError(f"variance needs one element per channel, shape {form}, got {found}")
    gap = at_least_float32(student) - at_least_float32(teacher.detach())
    spread = variance.to(gap.dtype).view(-1, 1, 1)
    return (gap.square() / spread + spread.log()).mean() / 2


class VIDLoss(nn.Module):
    """A trained regressor and trained variances around :func:`vid_loss`.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.
        initial_variance: Of every channel, above 1e-5, which is added to what is trained;
            5 in the authors' code.

    Raises:
        ValueError: If a number of channels is below 1 or the variance is too small.

    Example:
        >>> loss = VIDLoss(student_channels=16, teacher_channels=3)
        >>> loss(torch.randn(2, 16, 8, 8), torch.randn(2, 3, 8, 8)).shape
        torch.Size([])
        >>> f"{loss.variance.mean():.2f}"
        '5.00'
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, initial_variance: float = 5.0
    ) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        if positive("initial_variance", initial_variance) <= _SMALLEST_VARIANCE:
            raise ValueError(f"initial_variance must be above 1e-5, got {initial_variance}")
        self.regressor = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
        )
        above = initial_variance - _SMALLEST_VARIANCE
        inverse_softplus = above + math.log(-math.expm1(-above))
        self.raw_variance = nn.Parameter(torch.full((teacher_channels,), inverse_softplus))

    @property
    def variance(self) -> Tensor:
        """Variances of the channels (c,)."""
        return F.softplus(self.raw_variance) + _SMALLEST_VARIANCE

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of maps (b, c, h, w) of one height and width.

        Raises:
            ValueError: If they are not.
        """
        maps(student, teacher)
        with torch.autocast(student.device.type, enabled=False):
            mean = self.regressor(at_least_float32(student))
        return vid_loss(mean, teacher, self.variance)
