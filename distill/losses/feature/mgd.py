"""Masked generative distillation: Yang et al., ECCV 2022, arXiv 2205.01529.

Parts of the student's maps are masked, and a small generator has to make the teacher's full maps
of the rest. The paper and its code for dense prediction mask pixels (``pixel``), its code for
classification masks channels (``channel``).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, same_shape

Mask = Literal["pixel", "channel"]


def mgd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of generated maps.

    Args:
        student: Generated maps (b, c, h, w).
        teacher: Maps (b, c, h, w); no gradient flows to them.

    Returns:
        The mean over the batch of the sum over c, h and w. It grows with the map: the authors
        weigh it 7e-5 for classification and 2e-5 for detection.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty.

    Example:
        >>> mgd_loss(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
        tensor(4.)
    """
    same_shape(student, teacher, "b c h w")
    gap = at_least_float32(student) - at_least_float32(teacher.detach())
    return gap.square().sum() / len(gap)


class MGDLoss(nn.Module):
    """Alignment, mask and generator around :func:`mgd_loss`.

    The mask is drawn anew at each call in training mode, from torch's global generator; in
    evaluation mode nothing is masked.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.
        ratio: Share that is masked; at least 0, below 1. The authors take 0.65 of the pixels for
            detection, 0.15 of the channels for classification.
        mask: Whether pixels or channels are masked.

    Raises:
        ValueError: If a number of channels is below 1, or another argument out of range.

    Example:
        >>> loss = MGDLoss(student_channels=16, teacher_channels=64, ratio=0.15, mask="channel")
        >>> loss(torch.randn(2, 16, 8, 8), torch.randn(2, 64, 8, 8)).shape
        torch.Size([])
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        ratio: float = 0.65,
        mask: Mask = "pixel",
    ) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio must be at least 0 and below 1, got {ratio}")
        if mask not in ("pixel", "channel"):
            raise ValueError(f"mask must be 'pixel' or 'channel', got {mask!r}")
        self.ratio, self.mask = ratio, mask
        self.align = nn.Conv2d(student_channels, teacher_channels, 1)
        self.generator = nn.Sequential(
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of maps (b, c, h, w) of one height and width.

        Raises:
            ValueError: If they are not.
        """
        maps(student, teacher)
        with torch.autocast(student.device.type, enabled=False):
            aligned = self.align(at_least_float32(student))
            generated = self.generator(aligned * self._kept(aligned))
        return mgd_loss(generated, teacher)

    def _kept(self, aligned: Tensor) -> Tensor:
        b, c, h, w = aligned.shape
        shape = (b, 1, h, w) if self.mask == "pixel" else (b, c, 1, 1)
        if not self.training:
            return aligned.new_ones(shape)
        return (torch.rand(shape, device=aligned.device) >= self.ratio).to(aligned.dtype)
