"""Blocks that searched networks are made of; all keep height and width but :class:`Fit`."""

import torch.nn.functional as F
from torch import Tensor, nn

OPERATIONS = ("skip", "pool3", "conv3", "conv5", "sep3", "sep5", "dil3")


def unit(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A convolution and its batch norm."""
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


def operation(name: str, before: int, after: int) -> nn.Module:
    """One of :data:`OPERATIONS`, maps (b, before, h, w) to (b, after, h, w).

    Args:
        name: ``skip`` is the identity, ``pool3`` the mean of 3x3 places, each with a 1x1
            convolution where the channels differ; ``conv`` a convolution, ``sep`` a
            depthwise and a 1x1 one, ``dil3`` the same with gaps of one place.
        before: Channels that come.
        after: Channels that go.

    Raises:
        ValueError: If there is no such operation.
    """
    if name not in OPERATIONS:
        raise ValueError(f"an operation is one of {', '.join(OPERATIONS)}, got {name!r}")
    if name in ("skip", "pool3"):
        pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False) if name == "pool3" else nn.Identity()
        return nn.Sequential(pool, unit(before, after, 1)) if before != after else pool
    size = int(name[-1])
    if name.startswith("conv"):
        return nn.Sequential(unit(before, after, size), nn.ReLU())
    gap = 2 if name == "dil3" else 1
    padding = gap * (size // 2)
    depthwise = nn.Conv2d(
        before, before, size, padding=padding, dilation=gap, groups=before, bias=False
    )
    return nn.Sequential(depthwise, unit(before, after, 1), nn.ReLU())


class Fit(nn.Module):
    """Halves maps so many times, by means, and changes their channels by a 1x1 convolution.

    Args:
        before: Channels that come.
        after: Channels that go; where they agree there is no convolution.
        halvings: Of height and width, each rounded up.
    """

    def __init__(self, before: int, after: int, halvings: int) -> None:
        super().__init__()
        self.halvings = halvings
        self.project = unit(before, after, 1) if before != after else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c', h', w') of maps (b, c, h, w)."""
        for _ in range(self.halvings):
            maps = F.avg_pool2d(maps, 2, ceil_mode=True)
        output: Tensor = self.project(maps)
        return output
