"""A small GoogLeNet for 32x32 images (Szegedy et al., CVPR 2015, arXiv 1409.4842).

Six Inception modules in three stages of two, each module in the proportions of the paper's first
(a quarter of its channels from 1x1, half from 3x3, an eighth from 5x5 convolutions and an eighth
from pooling). Batch norm as in the paper's sequel (arXiv 1502.03167), no auxiliary classifiers.
torchvision's module has a second 3x3 in place of the 5x5; this one has the 5x5.

Paths to tap:

- output of stage i: ``stage1``, ``stage2``, ``stage3`` (64, 128 and 256 channels; 1, 1/2 and 1/4 of
  the size)
- the same before its ReLU, all branches together: ``stage{i}.1.relu:input``
- embedding (b, 256): ``fc:input``
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from students.checks import check_sizes

WIDTHS = (64, 128, 256)


class Inception(nn.Module):
    """Four branches of different reach side by side, and one ReLU behind all of them.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output; a multiple of 16.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.branch1 = _reach(in_channels, channels // 4, 1)
        self.branch3 = _reduced(in_channels, 3 * channels // 8, channels // 2, 3)
        self.branch5 = _reduced(in_channels, channels // 16, channels // 8, 5)
        pooled: OrderedDict[str, nn.Module] = OrderedDict(pool=nn.MaxPool2d(3, 1, padding=1))
        pooled.update(_reach(in_channels, channels // 8, 1).named_children())
        self.branch_pool = nn.Sequential(pooled)
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h, w)."""
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        output: Tensor = self.relu(torch.cat([branch(maps) for branch in branches], 1))
        return output


class CifarGoogLeNet(nn.Module):
    """A stem, three stages with poolings between them, and a classifier."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.conv1 = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.stage1 = nn.Sequential(Inception(first, first), Inception(first, first))
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = nn.Sequential(Inception(first, second), Inception(second, second))
        self.pool2 = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage3 = nn.Sequential(Inception(second, third), Inception(third, third))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.stage1(self.relu(self.bn1(self.conv1(image))))
        maps = self.stage3(self.pool2(self.stage2(self.pool1(maps))))
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


def googlenet32(num_classes: int, in_channels: int = 3) -> nn.Module:
    """A small GoogLeNet, for 32x32 images.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> import torch
        >>> googlenet32(num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    check_sizes(num_classes, in_channels)
    return CifarGoogLeNet(num_classes, in_channels)


def _reach(in_channels: int, channels: int, size: int) -> nn.Sequential:
    """Make a convolution and its batch norm; the ReLU comes after the concatenation."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, channels, size, padding=size // 2, bias=False),
        bn=nn.BatchNorm2d(channels),
    )
    return nn.Sequential(layers)


def _reduced(in_channels: int, middle: int, channels: int, size: int) -> nn.Sequential:
    """Make the same behind a 1x1 convolution to fewer channels."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        reduce=nn.Conv2d(in_channels, middle, 1, bias=False),
        reduce_bn=nn.BatchNorm2d(middle),
        reduce_relu=nn.ReLU(),
    )
    layers.update(_reach(middle, channels, size).named_children())
    return nn.Sequential(layers)
