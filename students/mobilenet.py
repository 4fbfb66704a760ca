"""MobileNetV2 of half width for 32x32 images (Sandler et al., CVPR 2018, arXiv 1801.04381).

The variant of the distillation literature, on torchvision's network. What it changes:

- the second stage (24 channels in the paper, 12 here) keeps the size, so that a 32x32 image has
  maps of 2x2 at the end, not 1x1
- widths are halved without rounding them to multiples of 8; the last layer keeps its 1280 channels,
  as in the paper for widths below 1
- the first block also has an expanding convolution, though it expands by 1
- ReLU in the place of ReLU6
- no dropout

Paths to tap (the bottlenecks are linear: there is no ReLU behind a stage's output):

- ends of stages: ``features.1`` (8 channels, 1/2 of the size), ``features.3`` (12, 1/2),
  ``features.6`` (16, 1/4), ``features.10`` (32, 1/8), ``features.13`` (48, 1/8), ``features.17``
  (160, 1/16)
- last maps (1280, 1/16): ``features.18``
- embedding (b, 1280): ``classifier.1:input``
"""

from collections.abc import Callable

from torch import Tensor, nn

from students.checks import check_sizes

# Expansion, channels at full width, blocks and stride of each stage.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expanding 1x1, depthwise 3x3 and linear 1x1 convolution; an identity where shapes agree."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        expand_ratio: int,
        norm_layer: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.bn1 = norm_layer(hidden)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.bn2 = norm_layer(hidden)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.bn3 = norm_layer(channels)
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h / stride, w / stride)."""
        hidden = self.relu1(self.bn1(self.conv1(maps)))
        hidden = self.relu2(self.bn2(self.conv2(hidden)))
        residual: Tensor = self.bn3(self.conv3(hidden))
        return maps + residual if self.has_shortcut else residual


def mobilenet_v2_half(num_classes: int, in_channels: int = 3) -> nn.Module:
    """MobileNetV2 of half width, for 32x32 images.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> sum(p.numel() for p in mobilenet_v2_half(num_classes=100).parameters())
        812836
    """
    from torchvision.models import MobileNetV2

    check_sizes(num_classes, in_channels)
    network: nn.Module = MobileNetV2(
        num_classes,
        width_mult=0.5,
        inverted_residual_setting=[list(stage) for stage in STAGES],
        round_nearest=4,
        block=InvertedResidual,
        dropout=0.0,
    )
    stem = nn.Conv2d(in_channels, 16, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    network.set_submodule("features.0.0", stem)
    for convolution in ("features.0", "features.18"):
        network.set_submodule(f"{convolution}.2", nn.ReLU())
    return network
