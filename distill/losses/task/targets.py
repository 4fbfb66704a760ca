"""Targets of task losses: class numbers, or a share of every class."""

import torch
from torch import Tensor

from distill.losses.checks import at_least_float32

_SUM_TOLERANCE = 0.02
"""Shares may have been rounded to bfloat16."""


def labeled_mask(
    target: Tensor, shape: tuple[int, ...], n_classes: int, ignore_index: int | None = None
) -> Tensor:
    """Mask of a target: true for a class number in 0..k-1, false for ``ignore_index``.

    Args:
        target: Class numbers of the given shape; it may be empty.
        shape: Required shape.
        n_classes: k.
        ignore_index: The number that marks what has no label; None allows none.

    Raises:
        ValueError: If the shape is another, the numbers are no integers, or one is out of range
            (checked on the CPU only: elsewhere it would make the device wait).
    """
    if target.shape != shape or target.is_floating_point():
        found = f"{tuple(target.shape)} {target.dtype}"
        raise ValueError(f"target needs class numbers of shape {shape}, got {found}")
    numbers = target.long()
    known = torch.ones_like(numbers, dtype=torch.bool)
    if ignore_index is not None:
        known = numbers != ignore_index
    outside = known & ((numbers < 0) | (numbers >= n_classes))
    if target.device.type == "cpu" and outside.any():
        allowed = f"0..{n_classes - 1}" + ("" if ignore_index is None else f" or {ignore_index}")
        raise ValueError(f"target needs class numbers in {allowed}, got {numbers[outside][0]}")
    return known


def one_hot(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Expand class numbers to a mask (b, k, ...), false where ignored.

    Returns:
        That mask, and the mask (b, ...) of what is labelled.

    Raises:
        ValueError: See :func:`labeled_mask`.
    """
    known = labeled_mask(target, (len(logits), *logits.shape[2:]), logits.shape[1], ignore_index)
    # An accelerator stops at a number that is out of range, as in torch's own losses.
    index = target.long().masked_fill(~known, 0).unsqueeze(1)
    mask = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, index, known.unsqueeze(1))
    return mask, known


def shares(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Convert a target to shares of the classes (b, k, ...).

    Args:
        logits: (b, k, ...), what the target belongs to.
        target: Class numbers (b, ...), or floating-point shares (b, k, ...), all labelled.
        ignore_index: The class number that marks what has no label.

    Returns:
        Shares (b, k, ...) in at least float32, without gradient, 0 where ignored; and the mask
        (b, ...) of what is labelled.

    Raises:
        ValueError: If the target is neither of the two, see :func:`labeled_mask`, or its shares are
            below 0 or do not sum up to 1 (checked on the CPU only).
    """
    if target.is_floating_point() and target.shape == logits.shape:
        _check_shares(target)
        return at_least_float32(target.detach()), torch.ones_like(target[:, 0], dtype=torch.bool)
    mask, known = one_hot(logits, target, ignore_index)
    return mask.to(at_least_float32(logits).dtype), known


def _check_shares(target: Tensor) -> None:
    if target.device.type != "cpu" or not len(target):
        return
    sums = target.detach().double().sum(1)
    odd = (target < 0).any(1) | ~((sums - 1).abs() < _SUM_TOLERANCE)
    if odd.any():
        first = float(sums[odd][0])
        raise ValueError(
            f"shares of a target need to be at least 0 with sum 1, got sum {first:.4g}"
        )


def same_rank(logits: Tensor, dimensions: str) -> None:
    """Require as many dimensions as the letters in ``dimensions``, and at least one class.

    Raises:
        ValueError: If ``input`` has another rank, or no class.
    """
    letters = dimensions.split()
    if logits.ndim != len(letters) or logits.shape[1] == 0:
        form = f"({', '.join(letters)})"
        found = tuple(logits.shape)
        raise ValueError(f"input needs shape {form} with at least one class, got {found}")
