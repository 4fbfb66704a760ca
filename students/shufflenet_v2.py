"""ShuffleNetV2 for 32x32 images (Ma et al., ECCV 2018, arXiv 1807.11164), width 1.

The variant of the distillation literature: torchvision's network with the stem changed to a 1x1
convolution with stride 1 and no pooling (3x3 with stride 2 and a max pooling in the paper), so that
the stages have 1/2, 1/4 and 1/8 of the size.

Paths to tap:

- output of stages 2, 3 and 4, as the paper counts: ``stage2``, ``stage3``, ``stage4`` (116, 232 and
  464 channels). Half of their channels pass a block untouched and the halves are shuffled, so no
  single ReLU stands in front of them
- last maps (1024 channels, 1/8 of the size): ``conv5``, and before their ReLU ``conv5.1``
- embedding (b, 1024): ``fc:input``
"""

from torch import nn

from students.checks import check_sizes


def shufflenet_v2(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ShuffleNetV2 of width 1, for 32x32 images.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> sum(p.numel() for p in shufflenet_v2(num_classes=100).parameters())
        1355528
    """
    from torchvision.models import ShuffleNetV2

    check_sizes(num_classes, in_channels)
    network: nn.Module = ShuffleNetV2([4, 8, 4], [24, 116, 232, 464, 1024], num_classes)
    network.set_submodule("conv1.0", nn.Conv2d(in_channels, 24, 1, bias=False))
    network.set_submodule("maxpool", nn.Identity())
    return network
