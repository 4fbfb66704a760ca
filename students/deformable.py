"""ResNets whose last stage samples at learnt positions: deformable convolution.

Version 1: Dai et al., ICCV 2017, arXiv 1703.06211. Version 2: Zhu et al., CVPR 2019, arXiv
1811.11168, which also weighs each sample by a mask in 0..1. The sampling is torchvision's. All 3x3
convolutions of the last stage are deformable. Offsets start at 0, so version 1 starts as the plain
convolution; masks start at 0.5 as in the paper, so version 2 starts as half of it, which the batch
norm behind it evens out.

Paths to tap are those of the plain ResNet; a block's offsets (b, 18 or 27, h, w) are at
``layer3.{i}.conv1.offset`` and ``layer3.{i}.conv2.offset``. On CUDA the backward pass adds up in no
fixed order, so two runs of one seed differ there in the last bits; on CPU they do not.
"""

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from students.checks import check_sizes
from students.resnet import resnet8, resnet20

Version = Literal["v1", "v2"]


class DeformableConv2d(nn.Module):
    """A 3x3 convolution whose samples are moved by offsets that a second convolution predicts.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Of the samples' centres.
        version: ``v1`` moves the samples, ``v2`` also weighs them.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, version: Version) -> None:
        super().__init__()
        from torchvision.ops import DeformConv2d

        self.version = version
        predicted = {"v1": 2 * 9, "v2": 3 * 9}[version]
        self.offset = nn.Conv2d(in_channels, predicted, 3, stride, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(cast(Tensor, self.offset.bias))
        self.conv: nn.Module = DeformConv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        weight = cast(Tensor, self.conv.weight)
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) to (b, c', h / stride, w / stride), computed in at least float32.

        torchvision samples on no CPU in bfloat16, and positions need more digits than it has. The
        result is float32 too, but in a network whose weights are of half precision.
        """
        given, mixed = maps.dtype, torch.is_autocast_enabled(maps.device.type)
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.float() if maps.itemsize < torch.float32.itemsize else maps
            predicted = self.offset(maps)
            mask = predicted[:, 18:].sigmoid() if self.version == "v2" else None
            output: Tensor = self.conv(maps, predicted[:, :18], mask)
        return output if mixed else output.to(given)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "DeformableConv2d":
        def in_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            shortened = moved.itemsize < torch.float32.itemsize
            return tensor.to(moved.device) if shortened else moved

        return super()._apply(in_float32, recurse)  # type: ignore[no-any-return, no-untyped-call]


def deform_resnet8(num_classes: int, in_channels: int = 3, version: Version = "v2") -> nn.Module:
    """ResNet with 8 layers, the last stage deformable.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.
        version: Of the deformable convolution, ``v1`` or ``v2``.

    Raises:
        ValueError: If a number is below 1 or there is no such version.

    Example:
        >>> deform_resnet8(num_classes=10, version="v1").layer3[0].conv1.offset.out_channels
        18
    """
    return _deform(resnet8, num_classes, in_channels, version)


def deform_resnet20(num_classes: int, in_channels: int = 3, version: Version = "v2") -> nn.Module:
    """ResNet with 20 layers, the last stage deformable. Arguments as :func:`deform_resnet8`."""
    return _deform(resnet20, num_classes, in_channels, version)


def _deform(
    plain: Callable[[int, int], nn.Module], num_classes: int, in_channels: int, version: Version
) -> nn.Module:
    check_sizes(num_classes, in_channels)
    if version not in ("v1", "v2"):
        raise ValueError(f"version must be 'v1' or 'v2', got {version!r}")
    network = plain(num_classes, in_channels)
    for path, module in list(network.named_modules()):
        if path.startswith("layer3.") and path.endswith((".conv1", ".conv2")):
            conv = cast(nn.Conv2d, module)
            deformable = DeformableConv2d(
                conv.in_channels, conv.out_channels, conv.stride[0], version
            )
            network.set_submodule(path, deformable)
    return network
