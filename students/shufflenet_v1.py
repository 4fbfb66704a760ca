"""ShuffleNet for 32x32 images (Zhang et al., CVPR 2018, arXiv 1707.01083), three groups.

The variant of the distillation literature. What it changes:

- the stem is a 1x1 convolution with stride 1 and without pooling (3x3 with stride 2 and a max
  pooling in the paper), so that the stages have 1/2, 1/4 and 1/8 of the size
- a ReLU behind the depthwise convolution too
- where a unit halves the size, the convolved maps come before the pooled ones

Paths to tap:

- output of stage i: ``stage1``, ``stage2``, ``stage3`` (240, 480 and 960 channels)
- the same before its last ReLU (shortcut added): ``stage1.3.relu3:input``,
  ``stage2.7.relu3:input``, ``stage3.3.relu3:input``
- embedding (b, 960): ``fc:input``
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from students.checks import check_sizes

GROUPS = 3


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3 and grouped 1x1 convolution, and a shortcut.

    With stride 2 the shortcut is an average pooling, concatenated and not added.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: 1 or 2.
        groups: Of the first convolution; 1 behind the stem, which has too few channels to split.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, groups: int) -> None:
        super().__init__()
        residual = channels - in_channels if stride == 2 else channels
        middle = residual // 4
        self.conv1 = nn.Conv2d(in_channels, middle, 1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.shuffle = ChannelShuffle(groups)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, residual, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(residual)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu3 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h / stride, w / stride)."""
        hidden = self.shuffle(self.relu1(self.bn1(self.conv1(maps))))
        hidden = self.relu2(self.bn2(self.conv2(hidden)))
        residual = self.bn3(self.conv3(hidden))
        joined = maps + residual if self.pool is None else torch.cat([residual, self.pool(maps)], 1)
        output: Tensor = self.relu3(joined)
        return output


class ChannelShuffle(nn.Module):
    """Distributes the channels of each group over all groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) with their channels in another order."""
        return rearrange(maps, "b (g n) h w -> b (n g) h w", g=self.groups)


class CifarShuffleNet(nn.Module):
    """A stem, three stages of shuffle units, global average pooling and a classifier."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 24, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.relu = nn.ReLU()
        self.stage1 = _stage(4, 24, 240, first_groups=1)
        self.stage2 = _stage(8, 240, 480, first_groups=GROUPS)
        self.stage3 = _stage(4, 480, 960, first_groups=GROUPS)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(960, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.relu(self.bn1(self.conv1(image)))
        maps = self.stage3(self.stage2(self.stage1(maps)))
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


def shufflenet_v1(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ShuffleNet with three groups, for 32x32 images.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> sum(p.numel() for p in shufflenet_v1(num_classes=100).parameters())
        949258
    """
    check_sizes(num_classes, in_channels)
    return CifarShuffleNet(num_classes, in_channels)


def _stage(units: int, in_channels: int, channels: int, first_groups: int) -> nn.Sequential:
    rest = [ShuffleUnit(channels, channels, 1, GROUPS) for _ in range(units - 1)]
    return nn.Sequential(ShuffleUnit(in_channels, channels, 2, first_groups), *rest)
