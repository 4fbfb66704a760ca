"""Linear CKA: similarity of two representations of the same images.

Kornblith et al., ICML 2019, arXiv 1905.00414; summed over minibatches with the unbiased estimator
of HSIC as in Nguyen, Raghu and Kornblith, ICLR 2021, arXiv 2010.15327 (eq. 2 and 3), so that the
value does not depend on the batch size, up to noise. Batches are weighted by their rows, where the
paper, whose batches are of one size, takes their plain mean.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

_FEWEST = 4  # the unbiased estimator divides by n - 3


def linear_cka(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the linear CKA of one batch, by the unbiased HSIC.

    1 where one is a rotated, scaled and shifted copy of the other; about 0 where they are
    independent (it may then be slightly negative); NaN where the rows of one are all equal.

    Args:
        student: Features (n, ...), n >= 4; any trailing shape.
        teacher: Features (n, ...); its trailing shape may differ from the student's.

    Returns:
        A scalar, float64.

    Raises:
        ValueError: If the numbers of rows differ, or are below 4.

    Example:
        >>> features = torch.arange(10.0).square().view(5, 2)
        >>> round(linear_cka(features, 3 * features + 1).item(), 6)
        1.0
    """
    return _normalize(*_hsics(student, teacher))


class LinearCKA(Metric):
    """:func:`linear_cka` over the batches of a whole set.

    Batches of fewer than four rows, such as the rest of a set, have no unbiased estimate and are
    left out.
    """

    is_differentiable = False
    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        zeros = torch.zeros(3, dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum")

    def update(self, student: Tensor, teacher: Tensor) -> None:
        """Add a batch."""
        if len(student) == len(teacher) < _FEWEST:
            return
        self.sums = self.sums + len(student) * torch.stack(_hsics(student, teacher))

    def compute(self) -> Tensor:
        """Compute the similarity, a scalar; NaN before the first batch."""
        return _normalize(*self.sums)


def _hsics(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute HSIC of both, of the student with itself and of the teacher with itself."""
    if len(student) != len(teacher) or len(student) < _FEWEST:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"student and teacher need the same 4 or more rows, got shapes {shapes}")
    first, second = _centered_kernel(student), _centered_kernel(teacher)
    pairs = len(student) * (len(student) - 3)
    return (
        (first * second).sum() / pairs,
        first.square().sum() / pairs,
        second.square().sum() / pairs,
    )


def _normalize(cross: Tensor, own: Tensor, other: Tensor) -> Tensor:
    return cross / (own * other).sqrt()


def _centered_kernel(features: Tensor) -> Tensor:
    """Compute the linear kernel without its diagonal, rows and columns centered (U-centering).

    The sum of the product of two such matrices is n (n - 3) times the unbiased HSIC.
    """
    rows = features.detach().flatten(1).double()
    rows = rows - rows.mean(0)  # changes nothing but the rounding
    kernel = (rows @ rows.T).fill_diagonal_(0)
    n = len(kernel)
    sums = kernel.sum(1) / (n - 2)
    centered = kernel - sums - sums[:, None] + kernel.sum() / ((n - 1) * (n - 2))
    return centered.fill_diagonal_(0)
