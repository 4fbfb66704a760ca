"""DIST, learning from a stronger teacher: Huang et al., NeurIPS 2022, arXiv 2205.10536.

The student need not match the teacher's probabilities, only their linear relation: Pearson
correlation over the classes of an image (inter) and over the images of a class (intra). A row or
column that does not vary has no correlation; it counts as 0 and gets no gradient. So a batch of
one image has the intra term 1.
"""

from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative, positive, same_shape
from distill.losses.kernels import standardize


def dist_loss(
    student: Tensor,
    teacher: Tensor,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
    temperature: float = 1.0,
) -> Tensor:
    """T^2 (inter (1 - correlation of rows) + intra (1 - correlation of columns)).

    The defaults weigh nothing; the authors weigh both 2 with T = 4 on CIFAR and 2 with T = 1 on
    ImageNet.

    Args:
        student: Logits (b, k).
        teacher: Logits (b, k); no gradient flows to them.
        inter_weight: Of the relation between classes; at least 0.
        intra_weight: Of the relation between images; at least 0.
        temperature: T, divides both logits; positive.

    Returns:
        A scalar; each of the two parts is between 0 and 2 T^2.

    Raises:
        ValueError: If the shapes differ, are not (b, k) or are empty, or a hyper-parameter is out
            of range.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, 3.0, 2.0]])
        >>> f"{dist_loss(logits, logits).abs():.4f}"
        '0.0000'
    """
    same_shape(student, teacher, "b k")
    _check(inter_weight, intra_weight, temperature)
    p_s = (at_least_float32(student) / temperature).softmax(1)
    p_t = (at_least_float32(teacher.detach()) / temperature).softmax(1)
    inter = 1 - _correlation(p_s, p_t).mean()
    intra = 1 - _correlation(p_s.T, p_t.T).mean()
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


class DISTLoss(nn.Module):
    """Module form of :func:`dist_loss`, for recipes.

    Example:
        >>> import torch
        >>> loss = DISTLoss(inter_weight=2.0, intra_weight=2.0, temperature=4.0)
        >>> logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, 3.0, 2.0]])
        >>> f"{loss(logits + 5, logits).abs():.4f}"
        '0.0000'
    """

    def __init__(
        self, inter_weight: float = 1.0, intra_weight: float = 1.0, temperature: float = 1.0
    ) -> None:
        super().__init__()
        _check(inter_weight, intra_weight, temperature)
        self.inter_weight, self.intra_weight = inter_weight, intra_weight
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`dist_loss`."""
        return dist_loss(student, teacher, self.inter_weight, self.intra_weight, self.temperature)


def _check(inter_weight: float, intra_weight: float, temperature: float) -> None:
    not_negative("inter_weight", inter_weight)
    not_negative("intra_weight", intra_weight)
    positive("temperature", temperature)


def _correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Pearson's correlation of each row (n, m) with its counterpart (n,)."""
    return (standardize(student) * standardize(teacher)).mean(1)
