"""Students from timm and torchvision, by name."""

import difflib
from collections.abc import Iterable

from torch import nn

from students.checks import check_sizes


def timm_model(
    name: str, num_classes: int, in_channels: int = 3, pretrained: bool = False
) -> nn.Module:
    """A model of timm.

    Args:
        name: As in ``timm.list_models()``.
        num_classes: Classes; the classifier is replaced where they differ from the weights'.
        in_channels: Channels of an image.
        pretrained: Download timm's weights; the model then carries their ``input_normalization``.

    Raises:
        ValueError: If timm has no such model, with the nearest names.

    Example:
        >>> type(timm_model("resnet10t", num_classes=10)).__name__
        'ResNet'
    """
    import timm

    check_sizes(num_classes, in_channels)
    if not timm.is_model(name.split(".")[0]):
        raise ValueError(f"name: timm has no model {name!r}{_near(name, timm.list_models())}")
    model: nn.Module = timm.create_model(
        name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels
    )
    if pretrained:
        config = model.pretrained_cfg
        model.input_normalization = (tuple(config["mean"]), tuple(config["std"]))  # type: ignore[index, arg-type, assignment]
    return model


def torchvision_model(name: str, num_classes: int, weights: str | None = None) -> nn.Module:
    """A classification model of torchvision.

    Args:
        name: As in ``torchvision.models.list_models()``.
        num_classes: Classes; must be the weights' own where weights are given.
        weights: A weights name such as ``DEFAULT`` or ``IMAGENET1K_V1``, downloaded; the model
            then carries their ``input_normalization``. None: random weights.

    Raises:
        ValueError: If torchvision has no such model, with the nearest names.

    Example:
        >>> type(torchvision_model("resnet18", num_classes=10)).__name__
        'ResNet'
    """
    from torchvision import models

    check_sizes(num_classes, 1)
    if name not in models.list_models(module=models):
        known = models.list_models(module=models)
        raise ValueError(f"name: torchvision has no model {name!r}{_near(name, known)}")
    model: nn.Module = models.get_model(name, weights=weights, num_classes=num_classes)
    if weights is not None:
        transforms = models.get_model_weights(name)[weights].transforms()
        model.input_normalization = (tuple(transforms.mean), tuple(transforms.std))  # type: ignore[assignment]
    return model


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=3)
    return f", the nearest are {', '.join(found)}" if found else ""
