"""What a module asks of a datamodule of images, and whether its networks fit them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules.normalization import Normalization


class ImageData(Protocol):
    """What a datamodule tells about its images; those of ``distill.data`` do."""

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def example(self, n: int) -> Batch:
        """The first ``n`` training samples."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Their view; Lightning's hook."""

    def fingerprint(self, of_batch: bool = False) -> dict[str, str]:
        """What the views of training, or views in their batches, depend on, by dotted key."""


def own_normalization(network: nn.Module, data: ImageData) -> Normalization:
    """The network's ``input_normalization``, where it carries one, or else the data's."""
    mean, std = getattr(network, "input_normalization", (data.mean, data.std))
    return Normalization(mean, std)


def two_views(data: ImageData, device: torch.device) -> Batch:
    """The augmented views of the first two training samples, for a dry pass.

    Raises:
        RecipeError: If an augmentation does not take them.
    """
    batch = data.example(2)
    batch = replace(batch, image=batch.image.to(device))
    try:
        return data.on_after_batch_transfer(batch, 0)
    except ValueError as error:
        raise RecipeError("data.augment", str(error)) from error


def fitting_logits(
    key: str,
    network: nn.Module,
    logits_of: Callable[[Tensor], Tensor],
    image: Tensor,
    classes: tuple[str, ...],
    line_length: int | None = None,
) -> Tensor:
    """The logits of a network that takes the data's images and tells all of its classes apart.

    Args:
        key: The network's dotted key in the recipe.
        network: What ``logits_of`` calls.
        logits_of: From images to logits.
        image: (b, c, h, w).
        classes: The data's.
        line_length: The most characters of a text line; None for images of one class each.

    Returns:
        Logits (b, k); of text lines (b, t, k), with t steps.

    Raises:
        RecipeError: If the network does not take the images, or gives something else.
    """
    try:
        logits = logits_of(image)
    except (ValueError, RuntimeError, AssertionError) as error:  # the last from timm
        problem = str(error).strip().splitlines()[0]
        message = f"{type(network).__name__} does not take images {tuple(image.shape)}: {problem}"
        raise RecipeError(key, message) from error
    # A blank stands between equal characters.
    steps = 2 * line_length - 1 if line_length else 0
    form = f"(b, {len(classes)})" if line_length is None else f"(b, t, {len(classes)})"
    if logits.ndim != form.count(",") + 1 or logits.shape[-1] != len(classes):
        needed = f"needs logits {form}, one per class of the data"
        raise RecipeError(key, f"{needed}, gives {tuple(logits.shape)}")
    if steps and logits.shape[1] < steps:
        needed = f"needs at least {steps} steps t for lines of {line_length} characters"
        raise RecipeError(key, f"{needed}, gives logits {tuple(logits.shape)}")
    return logits
