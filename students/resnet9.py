"""The ResNet-9 of DAWNBench's CIFAR-10 entries (David Page, "How to train your ResNet", 2018).

Wide maps at low resolution, maximum pooling and two residual blocks: it reaches a given accuracy
in fewer epochs than the CIFAR ResNets, so it makes a cheap strong teacher. Any image of at least
8x8 pixels fits. Paths to tap:

- stem: ``stem``
- output of stage i = 1 to 3, in front of its pooling: ``layer{i}``; the same before its ReLU:
  ``layer{i}.relu:input``
- after pooling and residual block: ``block1``, ``block3``
- embedding (b, d), scaled: ``fc:input``
"""

from collections import OrderedDict

from torch import Tensor, nn

from students.checks import check_sizes

EMBEDDING_SCALE = 0.125


class ResidualBlock(nn.Module):
    """Two convolutions around which the maps are added; no ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _layer(channels, channels)
        self.conv2 = _layer(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to maps of that shape."""
        output: Tensor = maps + self.conv2(self.conv1(maps))
        return output


class ResNet9(nn.Module):
    """Eight convolutions and a classifier without bias.

    Args:
        num_classes: Classes.
        in_channels: Channels of an image.
        width: Channels of the stem; the stages have 2, 4 and 8 times as many.
    """

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.stem = _layer(in_channels, width)
        self.layer1 = _layer(width, 2 * width)
        self.pool1 = nn.MaxPool2d(2)
        self.block1 = ResidualBlock(2 * width)
        self.layer2 = _layer(2 * width, 4 * width)
        self.pool2 = nn.MaxPool2d(2)
        self.layer3 = _layer(4 * width, 8 * width)
        self.pool3 = nn.MaxPool2d(2)
        self.block3 = ResidualBlock(8 * width)
        self.maxpool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(8 * width, num_classes, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.block1(self.pool1(self.layer1(self.stem(image))))
        maps = self.pool2(self.layer2(maps))
        maps = self.block3(self.pool3(self.layer3(maps)))
        # The original scales its logits; scaling what the classifier sees is the same function.
        logits: Tensor = self.fc(EMBEDDING_SCALE * self.maxpool(maps).flatten(1))
        return logits


def resnet9(num_classes: int, in_channels: int = 3, width: int = 64) -> nn.Module:
    """ResNet-9; ``width=64`` is the original.

    Args:
        num_classes: Classes.
        in_channels: Channels of an image.
        width: Channels of the stem.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> sum(p.numel() for p in resnet9(num_classes=10).parameters())
        6573120
    """
    check_sizes(num_classes, in_channels)
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return ResNet9(num_classes, in_channels, width)


def _layer(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(channels),
            relu=nn.ReLU(),
        )
    )
