"""GoogLeNet and Inception v3 for large images (arXiv 1409.4842, 1512.00567), from torchvision.

Without their auxiliary classifiers, which return tuples in training mode. All layers start as torch
makes them. ReLUs are functions in them, not modules, so what stands before one is a batch norm.

Paths to tap:

- ``googlenet``: ``inception3b``, ``inception4e``, ``inception5b`` (480, 832 and 1024 channels; 1/8,
  1/16 and 1/32 of the size)
- ``inception_v3``: ``Mixed_5d``, ``Mixed_6e``, ``Mixed_7c`` (288, 768 and 2048 channels; about 1/8,
  1/16 and 1/32 of the size)
- embedding (b, 1024) or (b, 2048): ``fc:input``
"""

from torch import nn

from students.checks import check_sizes
from students.image_size import needs_at_least


def googlenet(num_classes: int, in_channels: int = 3) -> nn.Module:
    """GoogLeNet, made for images of 224x224 pixels.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> import torch
        >>> googlenet(num_classes=10)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """
    from torchvision.models import GoogLeNet

    check_sizes(num_classes, in_channels)
    network: nn.Module = GoogLeNet(num_classes, aux_logits=False, init_weights=False)
    stem = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    network.set_submodule("conv1.conv", stem)
    needs_at_least(network, "googlenet", 15)
    return network


def inception_v3(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Inception v3, made for images of 299x299 pixels. Raises as :func:`googlenet`."""
    from torchvision.models import Inception3

    check_sizes(num_classes, in_channels)
    network: nn.Module = Inception3(num_classes, aux_logits=False, init_weights=False)
    network.set_submodule("Conv2d_1a_3x3.conv", nn.Conv2d(in_channels, 32, 3, 2, bias=False))
    needs_at_least(network, "inception_v3", 75)
    return network
