"""The flow of solution procedure: Yim et al., CVPR 2017 (A gift from knowledge distillation).

A stage's input and output maps give the matrix of their channels' inner products. The paper sums
its squared gaps and shrinks the larger map by maximum (``paper``); the literature's benchmark code
takes the mean of them and shrinks by average (``code``). The paper trains on this alone first. It
is not on arXiv; the survey arXiv 2006.05525 describes the method.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32

Convention = Literal["code", "paper"]


def fsp_loss(
    student_first: Tensor,
    student_last: Tensor,
    teacher_first: Tensor,
    teacher_last: Tensor,
    convention: Convention = "code",
) -> Tensor:
    """Squared gap between the FSP matrices of a stage in both networks (eq. 1 and 2).

    The gradient grows with the cube of the maps: float16 cannot hold it where they exceed about 30.

    Args:
        student_first: Maps (b, m, h, w) that enter the stage.
        student_last: Maps (b, n, h', w') that leave it.
        teacher_first: Maps (b, m, ., .) of any size; no gradient flows to them.
        teacher_last: Maps (b, n, ., .) of any size; no gradient flows to them.
        convention: ``code``, the mean over batch, m and n; or ``paper``, the mean over the batch
            of the sum over m and n.

    Returns:
        A scalar.

    Raises:
        ValueError: If a tensor is not (b, c, h, w) or is empty, if batch sizes or the networks'
            channels differ, or if the convention is unknown.

    Example:
        >>> ones = torch.ones(1, 1, 2, 2)
        >>> fsp_loss(2 * ones, ones, ones, ones)
        tensor(1.)
    """
    _check(convention)
    _check_maps(student_first, student_last, teacher_first, teacher_last)
    pool = F.adaptive_max_pool2d if convention == "paper" else F.adaptive_avg_pool2d
    student = _matrix(student_first, student_last, pool)
    gap = student - _matrix(teacher_first.detach(), teacher_last.detach(), pool)
    squared = gap.square()
    return squared.mean() if convention == "code" else squared.sum() / len(gap)


class FSPLoss(nn.Module):
    """Module form of :func:`fsp_loss`, for recipes; one term per stage.

    Example:
        >>> first, last = torch.ones(1, 1, 4, 4), torch.ones(1, 2, 2, 2)
        >>> FSPLoss()(2 * first, last, first, last), FSPLoss("paper")(2 * first, last, first, last)
        (tensor(1.), tensor(2.))
    """

    def __init__(self, convention: Convention = "code") -> None:
        super().__init__()
        _check(convention)
        self.convention = convention

    def forward(
        self,
        student_first: Tensor,
        student_last: Tensor,
        teacher_first: Tensor,
        teacher_last: Tensor,
    ) -> Tensor:
        """See :func:`fsp_loss`."""
        return fsp_loss(student_first, student_last, teacher_first, teacher_last, self.convention)


def _check(convention: Convention) -> None:
    if convention not in ("code", "paper"):
        raise ValueError(f"convention must be 'code' or 'paper', got {convention!r}")


def _check_maps(*four: Tensor) -> None:
    shapes = ", ".join(str(tuple(value.shape)) for value in four)
    if any(value.ndim != 4 for value in four) or len({len(value) for value in four}) > 1:
        raise ValueError(f"FSP needs four maps (b, c, h, w) of one batch, got shapes {shapes}")
    if any(value.numel() == 0 for value in four):
        raise ValueError(f"FSP needs at least one element in each map, got shapes {shapes}")
    if any(four[i].shape[1] != four[i + 2].shape[1] for i in (0, 1)):
        raise ValueError(f"student and teacher need the same channels, got shapes {shapes}")


def _matrix(
    first: Tensor, last: Tensor, pool: Callable[[Tensor, tuple[int, int]], Tensor]
) -> Tensor:
    first, last = at_least_float32(first), at_least_float32(last)
    height = min(first.shape[2], last.shape[2])
    width = min(first.shape[3], last.shape[3])
    first, last = (
        value if value.shape[2:] == (height, width) else pool(value, (height, width))
        for value in (first, last)
    )
    with torch.autocast(first.device.type, enabled=False):
        return torch.einsum("bmhw,bnhw->bmn", first, last) / (height * width)
