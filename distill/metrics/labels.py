"""Compares a student's decision on each class of an image with its teacher's."""

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric


class LabelComparison(nn.Module):
    """Measures agreement and divergence of the probabilities that two networks give each class.

    Args:
        with_teacher: Whether there is a teacher.

    Example:
        >>> found = LabelComparison(with_teacher=True)
        >>> student, teacher = torch.tensor([[0.9, 0.2]]), torch.tensor([[0.8, 0.6]])
        >>> found.update(student, teacher, torch.tensor([[1, 1]]))
        >>> found.compute()["agreement"]
        0.5
    """

    def __init__(self, with_teacher: bool) -> None:
        super().__init__()
        self._agreement = MeanMetric() if with_teacher else None
        self._divergence = MeanMetric() if with_teacher else None

    def update(self, student: Tensor, teacher: Tensor | None, target: Tensor) -> None:
        """Add a batch.

        Args:
            student: Probabilities (b, k).
            teacher: Probabilities (b, k); None where there is no teacher.
            target: Labels (b, k), 0 or 1.
        """
        if self._agreement is None or self._divergence is None or teacher is None:
            return
        same = (student > 0.5) == (teacher > 0.5)
        self._agreement.update(same.float())
        least = torch.finfo(torch.float32).tiny
        gap = torch.zeros_like(teacher)
        for own, other in ((teacher, student), (1 - teacher, 1 - student)):
            gap = gap + own * (own.clamp_min(least).log() - other.clamp_min(least).log())
        self._divergence.update(gap.sum(1))

    def compute(self) -> dict[str, float]:
        """Compute the metrics of all batches.

        Returns:
            ``agreement``: the share of decisions, of a class on an image, that are the same.
            ``kl_to_teacher_nats``: KL(teacher || student) of the classes' yes and no, the sum over
            classes and the mean over images. Nothing without a teacher.
        """
        if self._agreement is None or self._divergence is None:
            return {}
        found = {"agreement": self._agreement, "kl_to_teacher_nats": self._divergence}
        return {name: metric.compute().item() for name, metric in found.items()}
