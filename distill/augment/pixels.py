"""From images to numbers in 0..1 that can be computed with, and back."""

import torch
from torch import Tensor


def as_float(image: Tensor) -> Tensor:
    """Pixels in 0..1, in at least float32.

    Raises:
        ValueError: If the images are neither uint8 nor floating point.
    """
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    if not image.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point, got {image.dtype}")
    return image if image.dtype == torch.float64 else image.float()


def like(image: Tensor, pixels: Tensor) -> Tensor:
    """Pixels in 0..1 in the type of ``image``; what is outside is clipped."""
    pixels = pixels.clamp(0, 1)
    if image.dtype == torch.uint8:
        return pixels.mul_(255).round_().byte()
    return pixels.to(image.dtype)


def per_image(values: Tensor, pixels: Tensor) -> Tensor:
    """One number for each image (b,) in a shape and type that multiplies pixels (b, c, h, w)."""
    return values.to(pixels.dtype)[:, None, None, None]
