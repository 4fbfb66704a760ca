"""What every loss checks and converts before it computes."""

import math

import torch
from torch import Tensor


def at_least_float32(value: Tensor) -> Tensor:
    """The tensor in float32, or in its own type where that is wider (float64 for gradcheck)."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def same_batch(student: Tensor, teacher: Tensor) -> None:
    """Require one row per image in both, and at least one image.

    Raises:
        ValueError: If the batch sizes differ or are 0, or a tensor has no feature dimension.
    """
    shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.ndim < 2 or teacher.ndim < 2 or len(student) != len(teacher):
        raise ValueError(f"student and teacher need one row per image, {shapes}")
    if student.numel() == 0 or teacher.numel() == 0:
        raise ValueError(f"student and teacher need at least one image and one feature, {shapes}")


def same_shape(student: Tensor, teacher: Tensor, dimensions: str) -> None:
    """Require equal shapes with as many dimensions as the letters in ``dimensions``.

    Raises:
        ValueError: If they differ (nothing is broadcast), have another rank, or are empty.
    """
    shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.shape != teacher.shape or student.ndim != len(dimensions.split()):
        form = f"({', '.join(dimensions.split())})"
        raise ValueError(f"student and teacher need the same shape {form}, {shapes}")
    if student.numel() == 0:
        raise ValueError(f"student and teacher need at least one element, {shapes}")


def positive(name: str, value: float) -> float:
    """A hyper-parameter that must be positive and finite.

    Raises:
        ValueError: If it is not, naming it.

    Example:
        >>> positive("temperature", -4.0)
        Traceback (most recent call last):
        ValueError: temperature must be positive and finite, got -4.0
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


def not_negative(name: str, value: float) -> float:
    """A hyper-parameter that must be finite and at least 0.

    Raises:
        ValueError: If it is not, naming it.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return value
