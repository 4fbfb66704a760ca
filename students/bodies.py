"""Bodies of dense networks: maps of several strides from a classifier's layers."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from students import resnet
from students.resnet import BasicBlock, CifarResNet

_OURS: dict[str, Callable[..., nn.Module]] = {
    name: getattr(resnet, name)
    for name in (
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "resnet8x4",
        "resnet32x4",
    )
}
_TIMM = "timm/"


class ResNetBody(nn.Module):
    """The layers of a small ResNet without its classifier, behind a stem of stride 2.

    Args:
        network: Whose layers these are.

    Attributes:
        channels: Of each map.
        strides: Of each map, in pixels of the image: 2, 4 and 8.
    """

    strides = (2, 4, 8)

    def __init__(self, network: CifarResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = network.conv1, network.bn1, network.relu
        self.conv1.stride = (2, 2)
        self.layer1, self.layer2, self.layer3 = network.layer1, network.layer2, network.layer3
        stages = (self.layer1, self.layer2, self.layer3)
        self.channels = tuple(cast(BasicBlock, stage[-1]).bn2.num_features for stage in stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (b, c, h / stride, w / stride) of images (b, c, h, w), the finest first."""
        first = self.layer1(self.relu(self.bn1(self.conv1(image))))
        second = self.layer2(first)
        return [first, second, self.layer3(second)]


class TimmBody(nn.Module):
    """The stages of a network of timm.

    Args:
        name: The network's.
        in_channels: Channels of an image.
        pretrained: Whether to load timm's weights.

    Attributes:
        channels: Of each map.
        strides: Of each map, in pixels of the image.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool = False) -> None:
        import timm  # it takes seconds

        super().__init__()
        self.body = timm.create_model(
            name, pretrained=pretrained, in_chans=in_channels, features_only=True
        )
        facts: Any = self.body.feature_info
        self.channels = tuple(facts.channels())
        self.strides = tuple(facts.reduction())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (b, c, h / stride, w / stride) of images (b, c, h, w), the finest first."""
        return cast(list[Tensor], self.body(image))


def make_body(backbone: str, in_channels: int, pretrained: bool = False) -> ResNetBody | TimmBody:
    """The body that a backbone's name stands for.

    Args:
        backbone: A ResNet of ours, such as ``resnet8``, or ``timm/NAME``.
        in_channels: Channels of an image.
        pretrained: Whether to load timm's weights.

    Raises:
        ValueError: If there is no such backbone, or no weights of it.
    """
    if backbone in _OURS:
        if pretrained:
            raise ValueError(f"there are no pretrained weights of {backbone}: give timm/NAME")
        network = _OURS[backbone](num_classes=1, in_channels=in_channels)
        return ResNetBody(cast(CifarResNet, network))
    import timm  # it takes seconds

    name = backbone.removeprefix(_TIMM)
    if name == backbone or not timm.is_model(name):
        raise ValueError(f"backbone must be {', '.join(_OURS)} or timm/NAME, got {backbone!r}")
    return TimmBody(name, in_channels, pretrained)


def convolution(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class TopDown(nn.Module):
    """Sums maps of one width from the coarsest to the finest, as in FPN (arXiv 1612.03144).

    Args:
        in_channels: Of the maps, the finest first.
        channels: Of the results.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(each, channels, 1) for each in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the same sizes (b, channels, h, w), each with all coarser ones added."""
        found = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        for place in reversed(range(len(found) - 1)):
            size = found[place].shape[-2:]
            coarser = nn.functional.interpolate(found[place + 1], size=size, mode="nearest")
            found[place] = found[place] + coarser
        return found
