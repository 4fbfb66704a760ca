"""Teachers from timm, by name."""

from torch import nn

import students
from students.zoo import check_timm_name


def timm_model(
    name: str, pretrained: bool = True, num_classes: int | None = None, in_channels: int = 3
) -> nn.Module:
    """A model of timm, with its weights unless told otherwise.

    Args:
        name: As in ``timm.list_models(pretrained=True)``.
        pretrained: Download timm's weights; the model then carries their ``input_normalization``.
        num_classes: Classes; None for those of timm's weights. With pretrained weights any other
            number is refused, since the classifier would be a random one.
        in_channels: Channels of an image.

    Raises:
        ValueError: If timm has no such model, with the nearest names, if its weights have no
            classifier, or if the number of classes is not theirs.

    Example:
        >>> type(timm_model("resnet10t", pretrained=False, num_classes=10)).__name__
        'ResNet'
    """
    import timm

    check_timm_name(name)
    config = timm.get_pretrained_cfg(name)
    own = config.num_classes if config else 0
    if pretrained and own == 0:
        raise ValueError(f"name {name!r} has weights without a classifier, so it gives no logits")
    if pretrained and num_classes not in (None, own):
        raise ValueError(f"num_classes must be {own} with the weights of {name}, got {num_classes}")
    classes = own if num_classes is None else num_classes
    return students.timm_model(name, classes, pretrained, in_channels)
