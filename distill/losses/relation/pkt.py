"""Probabilistic knowledge transfer: Passalis and Tefas, ECCV 2018, arXiv 1803.10837.

Each image's cosine similarities to the batch, shifted to 0..1, are a distribution over the batch;
the student's are compared with the teacher's. As in the authors' code an image's similarity to
itself takes part, and the sum is divided by b^2: the literature's weight of 30000 belongs to that.
"""

from torch import Tensor, nn

from distill.losses.checks import at_least_float32, same_batch
from distill.losses.kernels import cosines

_EPSILON = 1e-7  # the authors'


def pkt_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean over b^2 pairs of p_t log(p_t / p_s), p the similarities as probabilities.

    Invariant to a rotation of either batch and to a scale of each of its rows.

    Args:
        student: Features (b, ...), flattened after b.
        teacher: Features (b, ...), of any size; no gradient flows to them.

    Returns:
        1 / b of the mean Kullback-Leibler divergence of the rows.

    Raises:
        ValueError: If the batch sizes differ or are 0.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> f"{pkt_loss(rows, 5 * rows):.4f} {pkt_loss(rows, torch.ones(2, 1)):.4f}"
        '0.0000 0.0294'
    """
    same_batch(student, teacher)
    p_s, p_t = _probabilities(student), _probabilities(teacher.detach())
    ratio = (p_t + _EPSILON).log() - (p_s + _EPSILON).log()
    return (p_t * ratio).mean().to(at_least_float32(student).dtype)


class PKTLoss(nn.Module):
    """Module form of :func:`pkt_loss`, for recipes.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> teacher = torch.tensor([[0.0, 2.0, 0.0], [5.0, 0.0, 0.0]])  # also at right angles
        >>> f"{PKTLoss()(student, teacher).abs():.4f}"
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`pkt_loss`."""
        return pkt_loss(student, teacher)


def _probabilities(rows: Tensor) -> Tensor:
    similarity = (cosines(rows) + 1) / 2
    return similarity / similarity.sum(1, keepdim=True)
