"""Distilling knowledge via knowledge review: Chen et al., CVPR 2021, arXiv 2104.09044.

Each stage of the student is fused with all deeper ones (attention-based fusion) before it is
compared with the teacher's, at several sizes at once (hierarchical context loss). The benchmarks
weigh it by pair of networks, often 5, and warm it up over 20 epochs. The fusions' convolutions
start as torch starts them (uniform, Kaiming's with a = sqrt(5)); the authors' code starts those in
front of batch norms wider by sqrt(3) (a = 1), which these take out of the output, though not out of
how far a step turns the weights.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, same_shape

_POOLED_SIZES = (4, 2, 1)


def hcl_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Hierarchical context loss of one pair: MSE at full size and average-pooled to 4, 2 and 1.

    Args:
        student: Fused maps (b, c, h, w).
        teacher: Maps (b, c, h, w); no gradient flows to them.

    Returns:
        The weighted mean, each size half the weight of the one before; sizes that are not smaller
        than h are left out. A constant offset d gives d^2.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty.

    Example:
        >>> hcl_loss(torch.full((1, 1, 8, 8), 3.0), torch.full((1, 1, 8, 8), 1.0))
        tensor(4.)
    """
    same_shape(student, teacher, "b c h w")
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    loss, weight, total = F.mse_loss(student, teacher), 1.0, 1.0
    for size in _POOLED_SIZES:
        if size < student.shape[2]:
            weight /= 2
            total += weight
            gap = F.adaptive_avg_pool2d(student, size) - F.adaptive_avg_pool2d(teacher, size)
            loss = loss + weight * gap.square().mean()
    return loss / total


class ReviewKDLoss(nn.Module):
    """Fusion of the student's stages around :func:`hcl_loss`, summed over stages.

    Args:
        student_channels: Channels of the student's stages, shallow to deep.
        teacher_channels: Channels of the teacher's stages, as many.

    Raises:
        ValueError: If the lists differ in length, are empty, or hold a number below 1.

    Example:
        >>> loss = ReviewKDLoss([4, 8], [6, 12])
        >>> student = [torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)]
        >>> teacher = [torch.randn(2, 6, 8, 8), torch.randn(2, 12, 4, 4)]
        >>> loss(student, teacher).shape
        torch.Size([])
    """

    def __init__(self, student_channels: list[int], teacher_channels: list[int]) -> None:
        super().__init__()
        if len(student_channels) != len(teacher_channels) or not student_channels:
            counts = f"{len(student_channels)} and {len(teacher_channels)}"
            raise ValueError(f"student_channels and teacher_channels must pair up, got {counts}")
        for pair in zip(student_channels, teacher_channels, strict=True):
            channels(*pair)
        middle = min(512, student_channels[-1])
        self.fusions = nn.ModuleList(
            _Fusion(inner, middle, outer, fuse=place < len(student_channels) - 1)
            for place, (inner, outer) in enumerate(
                zip(student_channels, teacher_channels, strict=True)
            )
        )

    def forward(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Compute the loss of the stages' maps (b, c, h, w), shallow to deep.

        Raises:
            ValueError: If there are more or fewer, if a pair differs in batch or size, is empty or
                of another rank or, in training, a map holds a single pixel (batch norm).
        """
        if not len(student) == len(teacher) == len(self.fusions):
            counts = f"{len(student)} and {len(teacher)}"
            raise ValueError(f"student and teacher need {len(self.fusions)} maps, got {counts}")
        for pair in zip(student, teacher, strict=True):
            maps(*pair)
        with torch.autocast(student[0].device.type, enabled=False):
            fused = self._fused([at_least_float32(value) for value in student])
        return torch.stack([hcl_loss(*pair) for pair in zip(fused, teacher, strict=True)]).sum()

    def _fused(self, student: Sequence[Tensor]) -> list[Tensor]:
        deeper: Tensor | None = None
        outputs: list[Tensor] = []
        for fusion, value in zip(reversed(self.fusions), reversed(student), strict=True):
            deeper, output = fusion(value, deeper)
            outputs.insert(0, output)
        return outputs


class _Fusion(nn.Module):
    """Mixes a stage with the fused deeper ones by a learned map of attention for each."""

    def __init__(self, inner: int, middle: int, outer: int, fuse: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(inner, middle, 1, bias=False), nn.BatchNorm2d(middle))
        self.attention = nn.Conv2d(2 * middle, 2, 1) if fuse else None
        self.expand = nn.Sequential(
            nn.Conv2d(middle, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer)
        )

    def forward(self, value: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        value = self.reduce(value)
        if self.attention is not None and deeper is not None:
            deeper = F.interpolate(deeper, value.shape[2:], mode="nearest")
            shares = self.attention(torch.cat([value, deeper], dim=1)).sigmoid()
            value = value * shares[:, :1] + deeper * shares[:, 1:]
        return value, self.expand(value)
