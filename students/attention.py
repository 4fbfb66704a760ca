"""ResNets for 32x32 images with attention at the end of each residual branch, from timm.

- ``se``: channels, squeeze and excitation (Hu et al., CVPR 2018, arXiv 1709.01507)
- ``eca``: channels, by a convolution along them (Wang et al., CVPR 2020, arXiv 1910.03151)
- ``spatial``: positions, the second half of CBAM
- ``cbam``: channels, then positions (Woo et al., ECCV 2018, arXiv 1807.06521)

Paths to tap are those of the plain ResNet, with ``n`` blocks per stage (1 and 3), except that
``layer{i}.{n-1}.bn2`` is behind the attention; in front of it is ``layer{i}.{n-1}.bn2.norm``.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, cast, get_args

from torch import nn

from students.checks import check_sizes
from students.resnet import resnet8, resnet20

Attention = Literal["se", "eca", "spatial", "cbam"]


def attention_resnet8(
    num_classes: int, in_channels: int = 3, attention: Attention = "se"
) -> nn.Module:
    """ResNet with 8 layers and attention in each block.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.
        attention: Over channels (``se``, ``eca``), positions (``spatial``) or both (``cbam``).

    Raises:
        ValueError: If a number is below 1 or there is no such attention.

    Example:
        >>> type(attention_resnet8(num_classes=10, attention="eca").layer3[0].bn2[1]).__name__
        'EcaModule'
    """
    return _attentive(resnet8, num_classes, in_channels, attention)


def attention_resnet20(
    num_classes: int, in_channels: int = 3, attention: Attention = "se"
) -> nn.Module:
    """ResNet with 20 layers and attention in each block. Raises as :func:`attention_resnet8`."""
    return _attentive(resnet20, num_classes, in_channels, attention)


def _attentive(
    plain: Callable[[int, int], nn.Module], num_classes: int, in_channels: int, attention: Attention
) -> nn.Module:
    check_sizes(num_classes, in_channels)
    if attention not in get_args(Attention):
        known = ", ".join(get_args(Attention))
        raise ValueError(f"attention must be one of {known}, got {attention!r}")
    network = plain(num_classes, in_channels)
    for path, module in list(network.named_modules()):
        if path.startswith("layer") and path.endswith(".bn2"):
            norm = cast(nn.BatchNorm2d, module)
            made = _attention(attention, norm.num_features)
            layers: OrderedDict[str, nn.Module] = OrderedDict(norm=norm, attention=made)
            network.set_submodule(path, nn.Sequential(layers))
    return network


def _attention(attention: Attention, channels: int) -> nn.Module:
    from timm.layers.cbam import SpatialAttn
    from timm.layers.create_attn import create_attn

    if attention == "spatial":
        made: nn.Module = SpatialAttn()
    else:
        made = create_attn(attention, channels)  # type: ignore[no-untyped-call]
    return made
