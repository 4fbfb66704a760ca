"""Wide residual networks (Zagoruyko and Komodakis, BMVC 2016, arXiv 1605.07146), pre-activation.

A block starts with batch norm and ReLU, so those of a stage's output belong to what follows it.
Any image of at least 8x8 pixels fits. Paths to tap:

- output of stage i, before batch norm and ReLU: ``layer1``, ``layer2``, ``layer3``
- the same after batch norm, before ReLU: ``layer2.0.bn1``, ``layer3.0.bn1`` and ``bn``, which end
  stages 1, 2 and 3
- the same after ReLU: ``layer2.0.relu1``, ``layer3.0.relu1`` and ``relu``
- embedding (b, d): ``fc:input``
"""

from torch import Tensor, nn

from students.checks import check_sizes


class PreActivationBlock(nn.Module):
    """Batch norm, ReLU and convolution, twice, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if in_channels != channels or stride != 1:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h / stride, w / stride)."""
        active = self.relu1(self.bn1(maps))
        residual: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        # A projecting shortcut starts from the activated maps, an identity from the raw ones.
        return residual + (maps if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """A stem, three stages of pre-activation blocks, and a classifier.

    Args:
        depth: Layers, 6 n + 4.
        widen: Factor on the widths 16, 32 and 64.
        num_classes: Classes.
        in_channels: Channels of an image.
    """

    def __init__(self, depth: int, widen: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.layer1 = _stage(blocks, 16, 16 * widen, stride=1)
        self.layer2 = _stage(blocks, 16 * widen, 32 * widen, stride=2)
        self.layer3 = _stage(blocks, 32 * widen, 64 * widen, stride=2)
        self.bn = nn.BatchNorm2d(64 * widen)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64 * widen, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.layer3(self.layer2(self.layer1(self.conv1(image))))
        maps = self.relu(self.bn(maps))
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


def wrn_16_1(num_classes: int, in_channels: int = 3) -> nn.Module:
    """WRN-16-1.

    Raises:
        ValueError: If an argument is below 1.
    """
    return _wrn(16, 1, num_classes, in_channels)


def wrn_16_2(num_classes: int, in_channels: int = 3) -> nn.Module:
    """WRN-16-2. Raises as :func:`wrn_16_1`.

    Example:
        >>> sum(p.numel() for p in wrn_16_2(num_classes=100).parameters())
        703284
    """
    return _wrn(16, 2, num_classes, in_channels)


def wrn_40_1(num_classes: int, in_channels: int = 3) -> nn.Module:
    """WRN-40-1. Raises as :func:`wrn_16_1`."""
    return _wrn(40, 1, num_classes, in_channels)


def wrn_40_2(num_classes: int, in_channels: int = 3) -> nn.Module:
    """WRN-40-2. Raises as :func:`wrn_16_1`."""
    return _wrn(40, 2, num_classes, in_channels)


def _wrn(depth: int, widen: int, num_classes: int, in_channels: int) -> WideResNet:
    check_sizes(num_classes, in_channels)
    return WideResNet(depth, widen, num_classes, in_channels)


def _stage(blocks: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    rest = [PreActivationBlock(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(PreActivationBlock(in_channels, channels, stride), *rest)
