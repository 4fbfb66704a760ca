"""FitNets: Romero et al., ICLR 2015, arXiv 1412.6550.

The student's maps, projected to the teacher's channels, are regressed on the teacher's. The paper
trains the lower half of the student on this alone before KD; the literature's benchmarks use one
stage with weight 100. The projection here is a 1x1 convolution and batch norm, without a ReLU, so
that maps from before a ReLU are possible targets too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, same_shape


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of maps.

    Args:
        student: Projected maps (b, c, h, w).
        teacher: Maps (b, c, h, w); no gradient flows to them.

    Returns:
        The mean over all elements; a constant offset d gives d^2.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty.

    Example:
        >>> hint_loss(torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), 1.0))
        tensor(4.)
    """
    same_shape(student, teacher, "b c h w")
    return F.mse_loss(at_least_float32(student), at_least_float32(teacher.detach()))


class HintLoss(nn.Module):
    """A trained projection around :func:`hint_loss`.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.

    Raises:
        ValueError: If a number of channels is below 1.

    Example:
        >>> loss = HintLoss(student_channels=16, teacher_channels=64)
        >>> loss(torch.randn(2, 16, 8, 8), torch.randn(2, 64, 8, 8)).shape
        torch.Size([])
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        self.projector = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.BatchNorm2d(teacher_channels),
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of maps (b, c, h, w) of one height and width.

        Raises:
            ValueError: If they are not or, in training, hold a single pixel (batch norm).
        """
        maps(student, teacher)
        with torch.autocast(student.device.type, enabled=False):
            projected = self.projector(at_least_float32(student))
        return hint_loss(projected, teacher)
