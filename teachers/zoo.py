"""Teachers from timm, by name."""

from torch import nn

import students


def timm_model(
    name: str, num_classes: int = 1000, in_channels: int = 3, pretrained: bool = True
) -> nn.Module:
    """A model of timm, with its weights unless told otherwise.

    Args:
        name: As in ``timm.list_models(pretrained=True)``.
        num_classes: Classes; must be the weights' own for their classifier to be kept.
        in_channels: Channels of an image.
        pretrained: Download timm's weights; the model then carries their ``input_normalization``.

    Raises:
        ValueError: If timm has no such model, with the nearest names.

    Example:
        >>> type(timm_model("resnet10t", num_classes=10, pretrained=False)).__name__
        'ResNet'
    """
    return students.timm_model(name, num_classes, in_channels, pretrained)
