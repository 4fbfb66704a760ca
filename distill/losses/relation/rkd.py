"""Relational knowledge distillation: Park et al., CVPR 2019, arXiv 1904.05068.

The definitions are the paper's: distances are divided by their mean over the batch, angles are
taken at each vertex, both are compared by a Huber loss with delta 1, averaged over all b^2 pairs
and all b^3 triplets. Other code under the same name divides by other means or normalises
embeddings first.

The usual way builds all differences of embeddings, a tensor (b, b, d), and multiplies it with
itself. Here the cosines come from the (b, b) Gram matrix, for a tile of sides at a time, half of
them by symmetry, and their gradient with respect to that matrix is written by hand in the same
sweep.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from distill.losses.checks import at_least_float32, not_negative, same_batch
from distill.losses.kernels import centered_gram, distances, squared_distances

# 1 MiB of float64: on a CPU a tile stays in the cache; elsewhere each operation costs a launch.
_TILE_ELEMENTS = 2**17
_DEVICE_TILE_ELEMENTS = 2**22


def rkd_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the two batches' pairwise distances, each in units of its own mean.

    Invariant to translation, rotation and scale of either batch. Rows that coincide are at
    distance 0 and get no gradient from each other.

    Args:
        student: Embeddings (b, ...), flattened after b.
        teacher: Embeddings (b, ...), of any size; no gradient flows to them.

    Returns:
        The mean over all b^2 pairs, the diagonal included; a zero with a gradient for b = 1.

    Raises:
        ValueError: If the batch sizes differ or are 0.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0]])
        >>> triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
        >>> f"{24 * rkd_distance_loss(line, triangle):.4f}"
        '1.0000'
    """
    same_batch(student, teacher)
    loss = F.huber_loss(_relative_distances(student), _relative_distances(teacher.detach()))
    return loss.to(at_least_float32(student).dtype)


def rkd_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the two batches' cosines of the angles in all triplets of rows.

    Invariant to translation, rotation and scale of either batch. An angle with a side of length 0
    has the cosine 0 and no gradient.

    Args:
        student: Embeddings (b, ...), flattened after b.
        teacher: Embeddings (b, ...), of any size; no gradient flows to them.

    Returns:
        The mean over all b^3 triplets; a zero with a gradient for b < 3.

    Raises:
        ValueError: If the batch sizes differ or are 0.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0]])
        >>> triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
        >>> f"{54 * rkd_angle_loss(line, triangle):.4f}"
        '5.0000'
    """
    same_batch(student, teacher)
    grams = centered_gram(student), centered_gram(teacher.detach())
    loss: Tensor = _AngleLoss.apply(*grams)
    return loss.to(at_least_float32(student).dtype)


class RKDDistanceLoss(nn.Module):
    """Module form of :func:`rkd_distance_loss`, for recipes.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0]])
        >>> f"{RKDDistanceLoss()(3 - 10 * line, line):.4f}"  # shift, turn and scale do not matter
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`rkd_distance_loss`."""
        return rkd_distance_loss(student, teacher)


class RKDAngleLoss(nn.Module):
    """Module form of :func:`rkd_angle_loss`, for recipes.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0]])
        >>> f"{RKDAngleLoss()(3 - 10 * line, line):.4f}"  # shift, turn and scale do not matter
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`rkd_angle_loss`."""
        return rkd_angle_loss(student, teacher)


class RKDLoss(nn.Module):
    """Sum of distance and angle losses, weighed as in the paper for classification.

    Args:
        distance_weight: Finite, at least 0.
        angle_weight: Finite, at least 0.

    Raises:
        ValueError: If a weight is negative or not finite.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0]])
        >>> triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
        >>> f"{RKDLoss(distance_weight=24, angle_weight=54)(line, triangle):.4f}"  # 1 + 5
        '6.0000'
    """

    def __init__(self, distance_weight: float = 25.0, angle_weight: float = 50.0) -> None:
        super().__init__()
        self.distance_weight = not_negative("distance_weight", distance_weight)
        self.angle_weight = not_negative("angle_weight", angle_weight)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of embeddings (b, ...) of both networks."""
        student, teacher = at_least_float32(student), at_least_float32(teacher)
        distance = self.distance_weight * rkd_distance_loss(student, teacher)
        return distance + self.angle_weight * rkd_angle_loss(student, teacher)


def _relative_distances(rows: Tensor) -> Tensor:
    pairwise, apart = distances(centered_gram(rows))
    mean = pairwise.sum() / apart.sum().clamp_min(1)
    return pairwise / torch.where(apart.any(), mean, 1.0)


class _AngleLoss(torch.autograd.Function):
    """Mean Huber loss of all cosines, as a function of the student's Gram matrix."""

    @staticmethod
    def forward(ctx: FunctionCtx, student: Tensor, teacher: Tensor) -> Tensor:
        inverse_s, inverse_t = _inverse_distances(student), _inverse_distances(teacher)
        total = student.new_zeros(())
        gradient, to_sides, turning = (torch.zeros_like(student) for _ in range(3))
        for first, second in _tiles(student):
            cosine = _cosines(student, inverse_s, first, second)
            difference = cosine - _cosines(teacher, inverse_t, first, second)
            slope = difference.clamp(-1, 1)
            # Cosines are symmetric in b and c: a tile off the diagonal stands for its mirror too.
            count = 1 if first == second else 2
            # Huber with delta 1 is slope * (difference - slope / 2).
            flat = slope.flatten()
            total += count * (torch.dot(flat, difference.flatten()) - torch.dot(flat, flat) / 2)
            cosine *= slope
            to_dot = slope * inverse_s[first, None]
            to_dot *= inverse_s[second]
            gradient[first, second] = count * to_dot.sum(2)
            for rows, others in ((first, 1), (second, 0))[:count]:
                to_sides[rows] += to_dot.sum(others)
                turning[rows] += cosine.sum(others)
        # D_ab = G_aa + G_bb - 2 G_ab for the squared distances D.
        to_squared = -inverse_s.square() * turning
        gradient -= 2 * (to_sides + to_squared)
        own = to_sides.sum(0) + to_squared.sum(0) + to_squared.sum(1)
        gradient.diagonal().add_(own)
        triplets = len(student) ** 3
        ctx.save_for_backward(gradient / triplets)
        return total / triplets

    @staticmethod
    def backward(ctx: FunctionCtx, *outer: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return outer[0] * gradient, None


def _inverse_distances(gram: Tensor) -> Tensor:
    squared, apart = squared_distances(gram)
    return torch.where(apart, torch.where(apart, squared, 1.0).rsqrt(), 0.0)


def _tiles(gram: Tensor) -> list[tuple[slice, slice]]:
    """List pairs of row ranges whose tiles, with their mirrors, cover all pairs (b, c)."""
    elements = _TILE_ELEMENTS if gram.device.type == "cpu" else _DEVICE_TILE_ELEMENTS
    rows = max(1, math.isqrt(elements // len(gram)))
    ranges = [slice(start, start + rows) for start in range(0, len(gram), rows)]
    return [(first, second) for i, first in enumerate(ranges) for second in ranges[i:]]


def _cosines(gram: Tensor, inverse: Tensor, first: slice, second: slice) -> Tensor:
    """(e_b - e_a) . (e_c - e_a) over both lengths, for a tile of b and c and all vertices a."""
    half = gram.diagonal() / 2
    dot = gram[first, second, None] - (gram[first] - half)[:, None]
    dot -= gram[second] - half
    dot *= inverse[first, None]
    dot *= inverse[second]
    return dot
