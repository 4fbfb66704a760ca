"""AM-RADIO, features of foundation models: Ranzinger et al., CVPR 2024, arXiv 2312.06709.

The paper takes the cosine alone for the embedding of an image (the class token), and for patch
tokens mostly the cosine, 0.9, with 0.1 of smooth L1, so that lengths are matched too. It projects
the student for each teacher by a perceptron with one hidden layer, layer norm and GELU:
``hidden_dim``; None is a linear map.

Patch tokens of a transformer become maps by ``MapAdaptor``, which also brings two grids to one
size.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative, same_batch
from distill.losses.kernels import l2_normalize


def embedding_loss(
    student: Tensor, teacher: Tensor, cosine_weight: float = 1.0, smooth_l1_weight: float = 0.0
) -> Tensor:
    """The weighted sum of 1 - cosine and smooth L1, the mean over embeddings.

    Args:
        student: Projected embeddings (b, d), or maps (b, d, h, w) of an embedding per place.
        teacher: The same; no gradient flows to them.
        cosine_weight: Of 1 - cosine; at least 0.
        smooth_l1_weight: Of smooth L1, the mean over d, quadratic below a difference of 1.

    Returns:
        At least 0. The cosine of a vector without direction is 0.

    Raises:
        ValueError: If the shapes differ, are neither of the two, or are empty, or a weight is
            negative.

    Example:
        >>> student, teacher = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]])
        >>> embedding_loss(student, teacher), embedding_loss(student, student)
        (tensor(1.), tensor(0.))
    """
    not_negative("cosine_weight", cosine_weight)
    not_negative("smooth_l1_weight", smooth_l1_weight)
    _same_places(student, teacher)
    if student.shape != teacher.shape:
        shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"student and teacher need the same width, {shapes}")
    found, wanted = _rows(student), _rows(teacher.detach())
    cosine = (l2_normalize(found) * l2_normalize(wanted)).sum(1).mean()
    value = cosine_weight * (1 - cosine)
    if smooth_l1_weight:
        value = value + smooth_l1_weight * F.smooth_l1_loss(found, wanted)
    return value


class EmbeddingLoss(nn.Module):
    """A trained projection around :func:`embedding_loss`.

    Args:
        student_dim: Width of the student's embeddings, or channels of its maps.
        teacher_dim: Those of the teacher.
        cosine_weight: See :func:`embedding_loss`.
        smooth_l1_weight: See :func:`embedding_loss`.
        hidden_dim: Width of the projection's hidden layer; None: it is linear.

    Raises:
        ValueError: If a width is below 1 or a weight negative.

    Example:
        >>> loss = EmbeddingLoss(student_dim=64, teacher_dim=384)
        >>> loss(torch.randn(8, 64), torch.randn(8, 384)).shape
        torch.Size([])
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        cosine_weight: float = 1.0,
        smooth_l1_weight: float = 0.0,
        hidden_dim: int | None = None,
    ) -> None:
        super().__init__()
        widths = {"student_dim": student_dim, "teacher_dim": teacher_dim, "hidden_dim": hidden_dim}
        for name, width in widths.items():
            if width is not None and width < 1:
                raise ValueError(f"{name} must be at least 1, got {width}")
        self._cosine_weight = not_negative("cosine_weight", cosine_weight)
        self._smooth_l1_weight = not_negative("smooth_l1_weight", smooth_l1_weight)
        self.projector: nn.Module = nn.Linear(student_dim, teacher_dim)
        if hidden_dim is not None:
            self.projector = nn.Sequential(
                nn.Linear(student_dim, hidden_dim),
                nn.LayerNorm(hidden_dim),
                nn.GELU(),
                nn.Linear(hidden_dim, teacher_dim),
            )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of embeddings (b, d), or maps (b, d, h, w), the student's not projected.

        Raises:
            ValueError: If they are not of one batch and size.
        """
        _same_places(student, teacher)
        with torch.autocast(student.device.type, enabled=False):
            projected = self.projector(_rows(student))
        return embedding_loss(
            projected, _rows(teacher), self._cosine_weight, self._smooth_l1_weight
        )


def _same_places(student: Tensor, teacher: Tensor) -> None:
    """Require embeddings or maps of one batch and size; their widths may differ."""
    same_batch(student, teacher)
    if student.shape[2:] != teacher.shape[2:] or student.ndim not in (2, 4):
        shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
        message = "student and teacher need embeddings (b, d), or maps (b, d, h, w) of one size"
        raise ValueError(f"{message}, {shapes}")


def _rows(features: Tensor) -> Tensor:
    """Embeddings, or maps of them, as rows (n, d)."""
    wide = at_least_float32(features)
    return rearrange(wide, "b d h w -> (b h w) d") if wide.ndim == 4 else wide
