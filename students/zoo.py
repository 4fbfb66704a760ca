"""Students from timm and torchvision, by name.

A model with pretrained weights carries ``input_normalization``, the mean and the standard deviation
per channel that it expects its images in 0..1 to be normalised with; one with random weights
carries none.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from students.checks import check_sizes

_SEVERAL_OUTPUTS = ("googlenet", "inception_v3")


def timm_model(
    name: str, num_classes: int, pretrained: bool = False, in_channels: int = 3
) -> nn.Module:
    """A model of timm.

    Args:
        name: As in ``timm.list_models()``, or with the tag of its weights as in
            ``timm.list_pretrained()``.
        num_classes: Classes; the classifier is replaced where they differ from the weights'.
        pretrained: Download timm's weights; the model then carries their ``input_normalization``,
            averaged over channels where ``in_channels`` differs from theirs.
        in_channels: Channels of an image; timm adapts the first layer of pretrained weights.

    Raises:
        ValueError: If timm has no such model, with the nearest names, or a number is below 1.

    Example:
        >>> type(timm_model("resnet10t", num_classes=10)).__name__
        'ResNet'
    """
    import timm

    check_sizes(num_classes, in_channels)
    check_timm_name(name)
    model: nn.Module = timm.create_model(
        name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels
    )
    if pretrained:
        config: Mapping[str, Any] = vars(model)["pretrained_cfg"]
        found = _normalization(config["mean"], config["std"], in_channels)
        model.input_normalization = found  # type: ignore[assignment]
    return model


def torchvision_model(name: str, num_classes: int, weights: str | None = None) -> nn.Module:
    """A classification model of torchvision, for images of three channels.

    Args:
        name: As in ``torchvision.models.list_models(module=torchvision.models)``.
        num_classes: Classes; must be the weights' own where weights are given.
        weights: A weights name such as ``DEFAULT`` or ``IMAGENET1K_V1``, downloaded; the model
            then carries their ``input_normalization``. None: random weights.

    Raises:
        ValueError: If torchvision has no such model or weights, with the nearest names, if it has
            several outputs in training, or the number of classes does not fit.

    Example:
        >>> type(torchvision_model("resnet18", num_classes=10)).__name__
        'ResNet'
    """
    from torchvision import models

    check_sizes(num_classes, 1)
    _check_name(name, "torchvision", models.list_models(module=models))
    if weights is None and name in _SEVERAL_OUTPUTS:
        raise ValueError(f"name {name!r} has several outputs in training, students.{name} has one")
    if weights is None:
        model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
        return model
    offered = models.get_model_weights(name)
    if weights not in offered.__members__:
        known = ", ".join(offered.__members__)
        raise ValueError(f"weights {weights!r} are not among {name}'s: {known}")
    chosen = offered[weights]
    own = len(chosen.meta["categories"])
    if num_classes != own:
        raise ValueError(f"num_classes must be {own} with weights {weights!r}, got {num_classes}")
    model = models.get_model(name, weights=chosen)
    transforms = chosen.transforms()
    found = _normalization(transforms.mean, transforms.std, 3)
    model.input_normalization = found  # type: ignore[assignment]
    return model


def check_timm_name(name: str) -> None:
    """Refuse what timm does not know.

    Raises:
        ValueError: With the nearest names.
    """
    import timm

    _check_name(name, "timm", [*timm.list_models(), *timm.list_pretrained()])


def _check_name(name: str, library: str, known: Collection[str]) -> None:
    if name not in known:
        found = difflib.get_close_matches(name, known, n=3)
        nearest = f", the nearest are {', '.join(found)}" if found else ""
        raise ValueError(f"name {name!r} is no model of {library}{nearest}")


def _normalization(
    mean: Sequence[float], std: Sequence[float], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return _spread(mean, channels), _spread(std, channels)


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """One value per channel: the values themselves, or their average for every channel."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
