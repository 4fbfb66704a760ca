"""Conversion of images to floats in 0..1, and back."""

import torch
from torch import Tensor


def as_float(image: Tensor) -> Tensor:
    """Convert images to floats in 0..1, in at least float32.

    Raises:
        ValueError: If the images are neither uint8 nor floating point.
    """
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    if not image.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point, got {image.dtype}")
    return image if image.dtype == torch.float64 else image.float()


def like(image: Tensor, pixels: Tensor) -> Tensor:
    """Convert floats to the type of ``image``; values outside 0..1 are clipped."""
    pixels = pixels.clamp(0, 1)
    if image.dtype == torch.uint8:
        return pixels.mul_(255).round_().byte()
    return pixels.to(image.dtype)


def per_image(values: Tensor, pixels: Tensor) -> Tensor:
    """Reshape and cast one number per image (b,) to multiply pixels (b, c, h, w)."""
    return values.to(pixels.dtype)[:, None, None, None]
