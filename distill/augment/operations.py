"""The operations of the augmentation policies, each sample its own.

All movements of a batch are one warp, with the identity for the samples that do not move; the
changes of pixels are computed only for the samples that have drawn them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distill.augment import color, tone
from distill.augment.affine import affine
from distill.augment.draws import quantize
from distill.augment.pixels import as_float, like
from distill.augment.warp import warp
from distill.core.batch import Batch


@dataclass(frozen=True)
class Space:
    """Ranges of the operations at full strength.

    Attributes:
        shear: Tangent of the slant.
        translate: Shift as a share of width or height, to which ``pixels`` are added.
        pixels: Shift in pixels.
        degrees: Rotation.
        enhance: Brightness, color, contrast and sharpness go to ``1 - enhance .. 1 + enhance``.
        bits: Bits that Posterize takes away.
    """

    shear: float
    translate: float
    pixels: int
    degrees: float
    enhance: float
    bits: int


AUTO = Space(shear=0.3, translate=150 / 331, pixels=0, degrees=30, enhance=0.9, bits=4)
"""Of AutoAugment and RandAugment, with 331 pixels wide images in the paper."""
WIDE = Space(shear=0.99, translate=0, pixels=32, degrees=135, enhance=0.99, bits=6)
"""Of TrivialAugment."""

_Change = Callable[[Tensor, Tensor, Space], Tensor]


def _enhance(change: Callable[[Tensor, Tensor], Tensor]) -> _Change:
    return lambda pixels, strength, space: change(pixels, 1 + space.enhance * strength)


def _posterize(pixels: Tensor, strength: Tensor, space: Space) -> Tensor:
    return tone.posterize(pixels, 8 - (space.bits * strength.abs()).round())


def _solarize(pixels: Tensor, strength: Tensor, space: Space) -> Tensor:
    return tone.solarize(pixels, 1 - strength.abs())


_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_CHANGES: dict[str, _Change] = {
    "Brightness": _enhance(color.brightness),
    "Color": _enhance(color.saturation),
    "Contrast": _enhance(color.contrast),
    "Sharpness": _enhance(tone.sharpness),
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": lambda pixels, strength, space: tone.autocontrast(pixels),
    "Equalize": lambda pixels, strength, space: tone.equalize(pixels),
    "Invert": lambda pixels, strength, space: tone.invert(pixels),
}
OPERATIONS = ("Identity", *_MOVES, *_CHANGES)


def operate(batch: Batch, operation: Tensor, strength: Tensor, space: Space) -> Batch:
    """Apply to each image its own operation.

    Args:
        batch: Images of 1 or 3 channels; Color does nothing to those of one channel.
        operation: Places (b,) in ``OPERATIONS``.
        strength: In -1..1 (b,); operations without a direction use its absolute value.
        space: Ranges at full strength.

    Raises:
        ValueError: If images have neither one nor three channels.
    """
    color.check_channels(batch.image)
    batch = warp(batch, _matrices(operation, strength, space, batch))
    image = batch.image.clone()
    for name, change in _CHANGES.items():
        rows = (operation == OPERATIONS.index(name)).nonzero().squeeze(1)
        if len(rows):
            pixels = change(as_float(image[rows]), strength[rows], space)
            image[rows] = like(image, pixels)
    return replace(batch, image=image)


def _matrices(operation: Tensor, strength: Tensor, space: Space, batch: Batch) -> Tensor:
    height, width = batch.image.shape[-2:]
    strength = strength.double()

    def drawn(name: str, most: float) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), strength * most, 0)

    shear = [quantize(drawn(name, space.shear)) for name in ("ShearX", "ShearY")]
    across = drawn("TranslateX", space.translate * width + space.pixels).round()
    down = drawn("TranslateY", space.translate * height + space.pixels).round()
    degrees, one = drawn("Rotate", space.degrees), torch.ones_like(strength)
    return affine(degrees, (across, down), one, shear, (height, width))
