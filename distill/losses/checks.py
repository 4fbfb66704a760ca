"""Checks and conversions with which every loss begins."""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class SizedByData(Protocol):
    """A loss with a memory of fixed size, which can check beforehand that the data fit."""

    def check_data(self, classes: int, samples: int) -> None:
        """Require data that fit into the memory.

        Args:
            classes: Number of classes of the data.
            samples: Number of training images.

        Raises:
            ValueError: If the memory is too small, naming the argument to raise.
        """


def at_least_float32(value: Tensor) -> Tensor:
    """Convert a tensor to float32; a wider type stays (float64 for gradcheck).

    Its gradient comes back in the tensor's own type. One beyond 65504 is infinite in float16, which
    is what a gradient scaler looks for; losses that do not depend on scale have such gradients
    where activations are tiny.
    """
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


def logit_rows(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Flatten logits (b, k), or (b, t, k) of t time steps, to a row (n, k) per prediction.

    A mean over rows is one over images, or over images and steps.

    Raises:
        ValueError: If the shapes differ, have another rank, or are empty.
    """
    same_shape(student, teacher, "b t k" if student.ndim == 3 else "b k")
    return student.flatten(0, -2), teacher.flatten(0, -2)


def positive(name: str, value: float) -> float:
    """Require a positive, finite hyper-parameter, and return it.

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
    """Require a finite hyper-parameter of at least 0, and return it.

    Raises:
        ValueError: If it is not, naming it.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return value


def class_numbers(target: Tensor, logits: Tensor) -> None:
    """Require one class number (b,) in 0..k-1 per row of logits (b, k).

    Raises:
        ValueError: If the shape is another, the numbers are not int64, or one is out of range
            (checked on the CPU only: elsewhere it would make the device wait).
    """
    if target.shape != logits.shape[:1] or target.dtype != torch.int64:
        shapes = f"got {tuple(target.shape)} {target.dtype} for logits {tuple(logits.shape)}"
        raise ValueError(f"target needs one class number per image, {shapes}")
    if target.device.type == "cpu" and ((target < 0) | (target >= logits.shape[1])).any():
        span = f"{target.min().item()}..{target.max().item()}"
        raise ValueError(f"target needs class numbers in 0..{logits.shape[1] - 1}, got {span}")


def maps(student: Tensor, teacher: Tensor) -> None:
    """Require maps (b, c, h, w) of the same batch and size; the channels may differ.

    Raises:
        ValueError: If they differ in batch, height or width, have another rank, or are empty.
    """
    shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
    same = student.shape[:1] + student.shape[2:] == teacher.shape[:1] + teacher.shape[2:]
    if student.ndim != 4 or teacher.ndim != 4 or not same:
        raise ValueError(
            f"student and teacher need maps (b, c, h, w) of the same b, h, w, {shapes}"
        )
    if student.numel() == 0 or teacher.numel() == 0:
        raise ValueError(f"student and teacher need at least one element, {shapes}")


def channels(student_channels: int, teacher_channels: int) -> None:
    """Require positive numbers of channels.

    Raises:
        ValueError: Naming the one that is not.
    """
    for name, value in (("student", student_channels), ("teacher", teacher_channels)):
        if value < 1:
            raise ValueError(f"{name}_channels must be at least 1, got {value}")
