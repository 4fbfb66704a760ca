"""Activation boundaries: Heo et al., AAAI 2019, arXiv 1811.03233.

What matters of a hidden neuron is whether it fires. The student's pre-activation is pushed beyond
a margin on the side of zero where the teacher's is. The paper pre-trains the student on this alone.
"""

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, positive, same_shape


def ab_loss(student: Tensor, teacher: Tensor, margin: float = 1.0) -> Tensor:
    """Squared hinge of the student's pre-activations on the side of the teacher's (eq. 4).

    Args:
        student: Connected maps (b, c, h, w), before their ReLU.
        teacher: Maps (b, c, h, w) before their ReLU; no gradient flows to them.
        margin: Distance from zero beyond which nothing is lost; positive, 1 in the authors' code.

    Returns:
        The mean over the batch of the sum over c, h and w. The authors' code weighs the last stage
        3e-3, each stage before it half of the next.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty, or the margin is
            not positive.

    Example:
        >>> fires, rests = torch.ones(1, 1, 1, 1), -torch.ones(1, 1, 1, 1)
        >>> ab_loss(fires, rests), ab_loss(rests, fires), ab_loss(fires, fires)
        (tensor(4.), tensor(4.), tensor(0.))
    """
    same_shape(student, teacher, "b c h w")
    positive("margin", margin)
    student = at_least_float32(student)
    below = (student + margin).clamp_min(0)
    above = (margin - student).clamp_min(0)
    return torch.where(teacher.detach() > 0, above, below).square().sum() / len(student)


class ABLoss(nn.Module):
    """A trained connector, 1x1 convolution and batch norm, around :func:`ab_loss`.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.
        margin: See :func:`ab_loss`.

    Raises:
        ValueError: If a number of channels is below 1 or the margin is not positive.

    Example:
        >>> loss = ABLoss(student_channels=16, teacher_channels=64)
        >>> loss(torch.randn(2, 16, 8, 8), torch.randn(2, 64, 8, 8)).shape
        torch.Size([])
    """

    def __init__(self, student_channels: int, teacher_channels: int, margin: float = 1.0) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        self.margin = positive("margin", margin)
        self.connector = nn.Sequential(
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
            connected = self.connector(at_least_float32(student))
        return ab_loss(connected, teacher, self.margin)
