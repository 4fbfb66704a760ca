"""Students from timm and torchvision, by name.

A model with pretrained weights carries ``input_normalization``, the mean and the standard deviation
per channel that it expects its images in 0..1 to be normalised with; one with random weights
carries none.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from students.checks import check_sizes

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
_SEVERAL_OUTPUTS = ("googlenet", "inception_v3")


def timm_model(
    name: str,
    num_classes: int,
    pretrained: bool = False,
    in_channels: int = 3,
    img_size: int | None = None,
    patch_size: int | None = None,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
) -> nn.Module:
    """Build a model of timm.

    Args:
        name: As in ``timm.list_models()``, or with the tag of its weights as in
            ``timm.list_pretrained()``.
        num_classes: Classes; the classifier is replaced where they differ from the weights'.
        pretrained: Download timm's weights; the model then carries their ``input_normalization``,
            averaged over channels where ``in_channels`` differs from theirs.
        in_channels: Channels of an image; timm adapts the first layer of pretrained weights.
        img_size: Height and width of the images, of models that are made for one size; timm adapts
            pretrained weights. None, here and below: the model's own.
        patch_size: Height and width of a patch, of models that have patches.
        drop_rate: Dropout before the classifier, in 0..1.
        drop_path_rate: Probability of dropping a residual branch (stochastic depth), in 0..1, that
            of the deepest; shallower ones are dropped less often.

    Raises:
        ValueError: If timm has no such model, with the nearest names, a number is below 1, or the
            model does not take an argument, with timm's reason.

    Example:
        >>> type(timm_model("resnet10t", num_classes=10)).__name__
        'ResNet'
        >>> timm_model("vit_tiny_patch16_224", num_classes=10, img_size=32).patch_embed.img_size
        (32, 32)
    """
    check_sizes(num_classes, in_channels)
    keywords = {
        "img_size": img_size,
        "patch_size": patch_size,
        "drop_rate": drop_rate,
        "drop_path_rate": drop_path_rate,
    }
    return built(name, num_classes, pretrained, in_channels, keywords)


def built(
    name: str,
    num_classes: int,
    pretrained: bool,
    in_channels: int,
    keywords: Mapping[str, float | None],
) -> nn.Module:
    """Build a model of timm, for :func:`timm_model` and for teachers, which may have no class.

    Args:
        name: See :func:`timm_model`.
        num_classes: 0 gives features (b, d) instead of logits.
        pretrained: See :func:`timm_model`.
        in_channels: See :func:`timm_model`.
        keywords: Further arguments for timm; those that are None are left out.

    Raises:
        ValueError: See :func:`timm_model`.
    """
    import timm

    check_timm_name(name)
    _check_keywords(keywords)
    given: dict[str, Any] = {word: v for word, v in keywords.items() if v is not None}
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels, **given
        )
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if not given:
            raise
        raise ValueError(
            f"{name} cannot be built with {_listed(given)}: {_reason(error)}"
        ) from error
    if pretrained:
        model.input_normalization = expected_normalization(model, in_channels)  # type: ignore[assignment]
    return model


def expected_normalization(model: nn.Module, channels: int) -> Normalization:
    """Read the mean and standard deviation per channel that a model of timm expects."""
    config: Mapping[str, Any] = vars(model)["pretrained_cfg"]
    return normalization_of(config["mean"], config["std"], channels)


def torchvision_model(name: str, num_classes: int, weights: str | None = None) -> nn.Module:
    """Build a classification model of torchvision, for images of three channels.

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
    check_name(name, "torchvision", models.list_models(module=models))
    if weights is None and name in _SEVERAL_OUTPUTS:
        raise ValueError(f"name {name!r} has several outputs in training, students.{name} has one")
    if weights is None:
        model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
        return model
    offered = models.get_model_weights(name)
    if weights not in offered.__members__:
        known = ", ".join(offered.__members__)
        raise ValueError(f"weights {weights!r} are not among {name}'s: {known}")
    selected = offered[weights]
    own = len(selected.meta["categories"])
    if num_classes != own:
        raise ValueError(f"num_classes must be {own} with weights {weights!r}, got {num_classes}")
    model = models.get_model(name, weights=selected)
    transforms = selected.transforms()
    found = normalization_of(transforms.mean, transforms.std, 3)
    model.input_normalization = found  # type: ignore[assignment]
    return model


def check_timm_name(name: str) -> None:
    """Require the name of a model of timm.

    Raises:
        ValueError: With the nearest names.
    """
    import timm

    check_name(name, "timm", [*timm.list_models(), *timm.list_pretrained()])


def _check_keywords(keywords: Mapping[str, float | None]) -> None:
    for name, value in keywords.items():
        if value is None:
            continue
        if name.endswith("_size") and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
        if name.endswith("_rate") and not 0 <= value <= 1:
            raise ValueError(f"{name} must be in 0..1, got {value}")


def _listed(given: Mapping[str, float]) -> str:
    return ", ".join(f"{word} {value}" for word, value in given.items())


def _reason(error: Exception) -> str:
    """Shorten timm's error to a line: the unknown argument, or the first line."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown:
        return f"it takes no {unknown[1]}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_name(name: str, library: str, known: Collection[str]) -> None:
    """Require a name that a library knows.

    Raises:
        ValueError: With the nearest names.
    """
    if name not in known:
        found = difflib.get_close_matches(name, known, n=3)
        nearest = f", the nearest are {', '.join(found)}" if found else ""
        raise ValueError(f"name {name!r} is no model of {library}{nearest}")


def normalization_of(mean: Sequence[float], std: Sequence[float], channels: int) -> Normalization:
    """A mean and a standard deviation for each channel."""
    return _spread(mean, channels), _spread(std, channels)


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Give every channel its value, or the average where the number of channels differs."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
