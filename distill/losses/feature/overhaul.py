"""A comprehensive overhaul of feature distillation: Heo et al., ICCV 2019, arXiv 1904.01866.

The features are maps before a ReLU. The teacher's negative responses are cut at a margin, the mean
negative response of their channel; the student's go through a 1x1 convolution and batch norm. The
authors read the margin off the batch norm before the ReLU, which is exact only where nothing is
added in between; where there is none, it is estimated from the maps, as the authors advise.
They run the teacher's batch norm on batch statistics (``teacher_mode: batch_statistics``).
"""

import math

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, same_shape


def overhaul_margin(mean: Tensor, std: Tensor) -> Tensor:
    """The mean negative response of each channel: E[x | x < 0] for x ~ N(mean, std^2).

    As in the authors' code, a channel that is negative with a probability of 0.001 or less gets
    -3 std, a jump from the formula.

    Args:
        mean: Channel means (c,); of a batch norm's output its bias.
        std: Channel standard deviations (c,), at least 0; of a batch norm's output ``|weight|``.

    Returns:
        Margins (c,), at most 0.

    Raises:
        ValueError: If the shapes differ or a standard deviation is negative.

    Example:
        >>> overhaul_margin(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([-0.7979, -0.5251])
    """
    if mean.shape != std.shape or mean.ndim != 1:
        shapes = f"{tuple(mean.shape)} and {tuple(std.shape)}"
        raise ValueError(f"mean and std need the same shape (c,), got {shapes}")
    if (std < 0).any():
        raise ValueError(f"std must be at least 0, got {std.min().item()}")
    centre, spread = at_least_float32(mean).double(), at_least_float32(std).double()
    ratio = centre / spread.clamp_min(torch.finfo(torch.float64).tiny)
    density = torch.exp(-(ratio.square()) / 2) / math.sqrt(2 * math.pi)
    negative = torch.special.ndtr(-ratio)
    formula = centre - spread * density / negative.clamp_min(1e-3)
    return torch.where(negative > 1e-3, formula, -3 * spread).to(at_least_float32(mean).dtype)


def overhaul_loss(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Partial L2 distance of pre-ReLU maps: a response that both keep below zero costs nothing.

    Args:
        student: Connected maps (b, c, h, w).
        teacher: Maps (b, c, h, w); no gradient flows to them.
        margin: Margins (c,) that cut the teacher's responses from below.

    Returns:
        The mean over the batch of the sum over c, h and w. It grows with the map: the authors
        weigh it 1e-3 for CIFAR and 1e-4 for ImageNet, halved for each stage before the last.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty, or the margin
            has not c elements.

    Example:
        >>> student, teacher = torch.full((1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1), -0.5)
        >>> f"{overhaul_loss(student, teacher, torch.tensor([-0.8])):.2f}"
        '0.64'
    """
    same_shape(student, teacher, "b c h w")
    if margin.shape != (student.shape[1],):
        form, found = f"({student.shape[1]},)", tuple(margin.shape)
        raise ValueError(f"margin needs one element per channel, shape {form}, got {found}")
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    target = torch.maximum(teacher, margin.to(teacher.dtype).view(-1, 1, 1))
    free = (student <= target) & (target <= 0)
    return torch.where(free, 0.0, (target - student).square()).sum() / len(student)


class OverhaulLoss(nn.Module):
    """Connector and margins of one stage around :func:`overhaul_loss`; one term per stage.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.

    Attributes:
        margin: Buffer (1, c, 1, 1). Estimated in training mode as the mean of all negative
            responses seen so far, until :meth:`use_teacher_batchnorm` sets it once for all.

    Raises:
        ValueError: If a number of channels is below 1.

    Example:
        >>> loss = OverhaulLoss(student_channels=2, teacher_channels=3)
        >>> loss(torch.randn(4, 2, 8, 8), torch.randn(4, 3, 8, 8)).shape
        torch.Size([])
    """

    margin: Tensor
    negative_count: Tensor

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        convolution = nn.Conv2d(student_channels, teacher_channels, 1, bias=False)
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / teacher_channels))
        self.connector = nn.Sequential(convolution, nn.BatchNorm2d(teacher_channels))
        self._estimates = True
        self.register_buffer("margin", torch.zeros(1, teacher_channels, 1, 1))
        self.register_buffer("negative_count", torch.zeros(teacher_channels))

    def use_teacher_batchnorm(self, batchnorm: nn.Module) -> None:
        """Take the margins from the batch norm whose output the teacher's maps are.

        Args:
            batchnorm: With ``weight`` and ``bias`` (c,).

        Raises:
            ValueError: If it has no weight and bias, or another number of channels.
        """
        weight, bias = getattr(batchnorm, "weight", None), getattr(batchnorm, "bias", None)
        form = (self.margin.shape[1],)
        if weight is None or bias is None or weight.shape != form:
            raise ValueError(f"batchnorm needs weight and bias of shape {form}")
        margin = overhaul_margin(bias.detach(), weight.detach().abs())
        self.margin.copy_(margin.view_as(self.margin))
        self._estimates = False

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of maps (b, c, h, w) whose channels are those given to the constructor.

        Raises:
            ValueError: If their sizes differ or, in training, hold a single pixel (batch norm).
        """
        maps(student, teacher)
        teacher = at_least_float32(teacher.detach())
        if self._estimates and self.training:
            self._update_margin(teacher)
        with torch.autocast(student.device.type, enabled=False):
            connected = self.connector(at_least_float32(student))
        return overhaul_loss(connected, teacher, self.margin.flatten())

    @torch.no_grad()
    def _update_margin(self, teacher: Tensor) -> None:
        # Sums of floats: on a CPU ten times as fast as counting booleans.
        seen = (teacher < 0).to(self.negative_count.dtype).sum((0, 2, 3))
        self.negative_count += seen
        # A running mean: adding small sums to a large one would lose them in float32.
        share = seen / self.negative_count.clamp_min(1)
        batch = teacher.clamp_max(0).sum((0, 2, 3)) / seen.clamp_min(1)
        self.margin += (share * (batch - self.margin.flatten())).view_as(self.margin)
