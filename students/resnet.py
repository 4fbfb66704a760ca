"""ResNets for 32x32 images (He et al., CVPR 2016, arXiv 1512.03385, section 4.2).

The ``x4`` variants are those of the distillation literature: four times as wide from the first
stage on, behind a stem of 32 channels. Any image of at least 8x8 pixels fits.

Paths to tap, for a network of ``n = (depth - 2) / 6`` blocks per stage (1 for resnet8, 5 for
resnet32x4):

- stem: ``relu``, and before its ReLU ``bn1``
- output of stage i: ``layer1``, ``layer2``, ``layer3``
- the same before its last ReLU: ``layer1.{n-1}.relu2:input`` (shortcut added), and the last batch
  norm alone: ``layer1.{n-1}.bn2``
- embedding (b, d): ``fc:input``
"""

from torch import Tensor, nn

from students.checks import check_sizes


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; every ReLU is a module of its own, none in place."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h / stride, w / stride)."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        output: Tensor = self.relu2(residual + self.shortcut(maps))
        return output


class CifarResNet(nn.Module):
    """A stem, three stages of blocks, global average pooling and a classifier.

    Args:
        blocks: Blocks per stage.
        widths: Channels of the stem and of the three stages.
        num_classes: Classes.
        in_channels: Channels of an image.
    """

    def __init__(
        self, blocks: int, widths: tuple[int, int, int, int], num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        stem, first, second, third = widths
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = _stage(blocks, stem, first, stride=1)
        self.layer2 = _stage(blocks, first, second, stride=2)
        self.layer3 = _stage(blocks, second, third, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.relu(self.bn1(self.conv1(image)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


def resnet8(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 8 layers, the smallest.

    Raises:
        ValueError: If an argument is below 1.
    """
    return _resnet(1, num_classes, in_channels)


def resnet14(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 14 layers. Raises as :func:`resnet8`."""
    return _resnet(2, num_classes, in_channels)


def resnet20(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 20 layers. Raises as :func:`resnet8`."""
    return _resnet(3, num_classes, in_channels)


def resnet32(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 32 layers. Raises as :func:`resnet8`."""
    return _resnet(5, num_classes, in_channels)


def resnet44(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 44 layers. Raises as :func:`resnet8`."""
    return _resnet(7, num_classes, in_channels)


def resnet56(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 56 layers. Raises as :func:`resnet8`."""
    return _resnet(9, num_classes, in_channels)


def resnet110(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 110 layers. Raises as :func:`resnet8`."""
    return _resnet(18, num_classes, in_channels)


def resnet8x4(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 8 layers, four times as wide. Raises as :func:`resnet8`.

    Example:
        >>> sum(p.numel() for p in resnet8x4(num_classes=100).parameters())
        1233540
    """
    return _resnet(1, num_classes, in_channels, (32, 64, 128, 256))


def resnet32x4(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 32 layers, four times as wide. Raises as :func:`resnet8`."""
    return _resnet(5, num_classes, in_channels, (32, 64, 128, 256))


def _resnet(
    blocks: int,
    num_classes: int,
    in_channels: int,
    widths: tuple[int, int, int, int] = (16, 16, 32, 64),
) -> CifarResNet:
    check_sizes(num_classes, in_channels)
    return CifarResNet(blocks, widths, num_classes, in_channels)


def _stage(blocks: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    rest = [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)
