"""Losses the usual way, by broadcasting, written from their formulas; the teacher is constant."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between the cosines in all triplets of embeddings (b, d)."""
    with torch.no_grad():
        goal = _cosines_of_angles(teacher)
    return F.smooth_l1_loss(_cosines_of_angles(student), goal)


def nst(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared MMD of the channels of maps (b, c, h, w) with the kernel (x . y)^2."""
    s, t = (F.normalize(value.flatten(2), dim=2) for value in (student, teacher))
    return _squared_products(s, s) + _squared_products(t, t) - 2 * _squared_products(s, t)


def sp(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared gap of the batch similarity matrices, their rows at length 1."""
    s, t = (value.flatten(1) for value in (student, teacher))
    return (F.normalize(s @ s.T) - F.normalize(t @ t.T)).square().mean()


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over pairs of p_t log(p_t / p_s) of the shifted cosine similarities of rows (b, d)."""
    p_s, p_t = _shares(student), _shares(teacher)
    return (p_t * ((p_t + 1e-7) / (p_s + 1e-7)).log()).mean()


def cc(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared gap of the kernel matrices of rows (b, d): Taylor terms 0 to 2, gamma 0.4."""
    return (_kernel(student) - _kernel(teacher)).square().mean()


def _cosines_of_angles(rows: Tensor) -> Tensor:
    """(b, b, b), from the differences (b, b, d)."""
    sides = F.normalize(rows[None] - rows[:, None], dim=2)
    return torch.bmm(sides, sides.transpose(1, 2))


def _squared_products(one: Tensor, other: Tensor) -> Tensor:
    """Mean over images and pairs of channels, from a tensor (b, c, c', h w)."""
    return (one[:, :, None] * other[:, None]).sum(3).square().mean()


def _shares(rows: Tensor) -> Tensor:
    rows = F.normalize(rows)
    similarity = (rows @ rows.T + 1) / 2
    return similarity / similarity.sum(1, keepdim=True)


def _kernel(rows: Tensor) -> Tensor:
    """exp(-gamma |x - y|^2) of unit rows, from a tensor (b, b, d)."""
    rows = F.normalize(rows)
    exponent = 2 * 0.4 * (rows[:, None] * rows[None]).sum(2)
    return math.exp(-2 * 0.4) * (1 + exponent + exponent.square() / 2)
