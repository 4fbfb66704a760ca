"""A small segmenter: the stages of a backbone summed at the finest stride, and a classifier.

Paths to tap: ``backbone.layer1`` to ``backbone.layer3`` of our ResNets, ``fuse`` the sum of all
stages (b, channels, h / 2, w / 2), ``classifier`` the logits before they are enlarged.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from students.bodies import ResNetBody, TimmBody, TopDown, convolution, make_body
from students.checks import check_sizes


class Segmenter(nn.Module):
    """Logits for each pixel.

    Args:
        body: Gives maps of several strides.
        num_classes: Classes.
        channels: Of the summed maps.
    """

    def __init__(self, body: ResNetBody | TimmBody, num_classes: int, channels: int) -> None:
        super().__init__()
        self.backbone = body
        self.neck = TopDown(body.channels, channels)
        self.fuse = convolution(channels, channels)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k, h, w) of images (b, c, h, w)."""
        finest = self.neck(self.backbone(image))[0]
        logits: Tensor = self.classifier(self.fuse(finest))
        return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


def segmenter(
    backbone: str,
    num_classes: int,
    in_channels: int = 3,
    channels: int = 32,
    pretrained: bool = False,
) -> nn.Module:
    """Make a segmenter on a backbone.

    Args:
        backbone: ``resnet8`` to ``resnet110``, ``resnet8x4``, ``resnet32x4``, or ``timm/NAME``.
        num_classes: Classes.
        in_channels: Channels of an image.
        channels: Of the maps that stages are summed at.
        pretrained: Whether the backbone has timm's weights.

    Raises:
        ValueError: If there is no such backbone, or a number is below 1.

    Example:
        >>> import torch
        >>> segmenter("resnet8", num_classes=11, in_channels=1)(torch.zeros(2, 1, 48, 48)).shape
        torch.Size([2, 11, 48, 48])
    """
    check_sizes(num_classes, in_channels)
    if channels < 1:
        raise ValueError(f"channels must be at least 1, got {channels}")
    return Segmenter(make_body(backbone, in_channels, pretrained), num_classes, channels)
