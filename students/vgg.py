"""VGG for small images, batch-normalised (Simonyan and Zisserman, ICLR 2015, arXiv 1409.1556).

Those of the distillation literature: one fully connected layer after global average pooling, and
three poolings in front of it, so that a 32x32 image has maps of 4x4 in the last two stages. Any
image of at least 8x8 pixels fits. Paths to tap, for stages i = 1 to 5:

- output of stage i: ``stage{i}``; the same before its last ReLU: ``stage{i}.relu{n}:input`` for
  ``n`` convolutions in the stage, 1 for all of vgg8
- embedding (b, 512): ``fc:input``
"""

from collections import OrderedDict

from torch import Tensor, nn

from students.checks import check_sizes

WIDTHS = (64, 128, 256, 512, 512)


class CifarVgg(nn.Module):
    """Five stages of 3x3 convolutions with poolings between the first four, and a classifier.

    Args:
        convolutions: Convolutions in each of the five stages.
        num_classes: Classes.
        in_channels: Channels of an image.
    """

    def __init__(
        self, convolutions: tuple[int, int, int, int, int], num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        one, two, three, four, five = convolutions
        self.stage1 = _stage(one, in_channels, WIDTHS[0])
        self.pool1 = nn.MaxPool2d(2)
        self.stage2 = _stage(two, WIDTHS[0], WIDTHS[1])
        self.pool2 = nn.MaxPool2d(2)
        self.stage3 = _stage(three, WIDTHS[1], WIDTHS[2])
        self.pool3 = nn.MaxPool2d(2)
        self.stage4 = _stage(four, WIDTHS[2], WIDTHS[3])
        self.stage5 = _stage(five, WIDTHS[3], WIDTHS[4])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[4], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.pool2(self.stage2(self.pool1(self.stage1(image))))
        maps = self.stage5(self.stage4(self.pool3(self.stage3(maps))))
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


def vgg8(num_classes: int, in_channels: int = 3) -> nn.Module:
    """VGG with 8 layers.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> sum(p.numel() for p in vgg8(num_classes=100).parameters())
        3965028
    """
    return _vgg((1, 1, 1, 1, 1), num_classes, in_channels)


def vgg11(num_classes: int, in_channels: int = 3) -> nn.Module:
    """VGG with 11 layers. Raises as :func:`vgg8`."""
    return _vgg((1, 1, 2, 2, 2), num_classes, in_channels)


def vgg13(num_classes: int, in_channels: int = 3) -> nn.Module:
    """VGG with 13 layers. Raises as :func:`vgg8`."""
    return _vgg((2, 2, 2, 2, 2), num_classes, in_channels)


def vgg16(num_classes: int, in_channels: int = 3) -> nn.Module:
    """VGG with 16 layers. Raises as :func:`vgg8`."""
    return _vgg((2, 2, 3, 3, 3), num_classes, in_channels)


def vgg19(num_classes: int, in_channels: int = 3) -> nn.Module:
    """VGG with 19 layers. Raises as :func:`vgg8`."""
    return _vgg((2, 2, 4, 4, 4), num_classes, in_channels)


def _vgg(
    convolutions: tuple[int, int, int, int, int], num_classes: int, in_channels: int
) -> CifarVgg:
    check_sizes(num_classes, in_channels)
    return CifarVgg(convolutions, num_classes, in_channels)


def _stage(convolutions: int, in_channels: int, channels: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, convolutions + 1):
        source = in_channels if number == 1 else channels
        layers[f"conv{number}"] = nn.Conv2d(source, channels, 3, padding=1)
        layers[f"bn{number}"] = nn.BatchNorm2d(channels)
        layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)
