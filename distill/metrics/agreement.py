"""Compares a student's predictions with the labels and the teacher's, by torchmetrics."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import KLDivergence, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

BINS = 15
"""Number of equal bins of confidence for the calibration error, as in Guo et al."""


class AgreementMetrics(nn.Module):
    """Measures agreement, divergence and calibration over the batches of a set.

    Args:
        num_classes: Number of classes of the data.
        with_teacher: Whether there is a teacher to compare with.
    """

    def __init__(self, num_classes: int, with_teacher: bool) -> None:
        super().__init__()
        self._names = ["student", "teacher"] if with_teacher else ["student"]
        self._calibrations = nn.ModuleList(
            MulticlassCalibrationError(num_classes, n_bins=BINS) for _ in self._names
        )
        self._agreement = MulticlassAccuracy(num_classes, average="micro")
        self._divergence = KLDivergence(log_prob=True)

    def update(self, student: Tensor, teacher: Tensor | None, target: Tensor) -> None:
        """Add a batch.

        Args:
            student: Logits (b, k).
            teacher: Logits (b, k); None where there is no teacher.
            target: Class numbers (b,).
        """
        logits = {"student": student} | ({"teacher": teacher} if teacher is not None else {})
        logs = {name: value.float().log_softmax(1) for name, value in logits.items()}
        for name, metric in self._calibration():
            # Probabilities: torchmetrics takes no softmax of logits that happen to lie in 0..1.
            metric.update(logs[name].exp(), target)
        if teacher is not None:
            self._agreement.update(student, teacher.argmax(1))
            self._divergence.update(logs["teacher"], logs["student"])

    def compute(self) -> dict[str, float]:
        """Compute the metrics of all batches.

        Returns:
            ``agreement``: the share of images on which both give the same class.
            ``kl_to_teacher_nats``: KL(teacher || student), mean over images, temperature 1.
            ``student_calibration_error`` and ``teacher_calibration_error``: the expected
            calibration error, in 0..1 (Guo et al., arXiv 1706.04599). Without a teacher, the
            student's calibration error alone.
        """
        found: dict[str, Tensor] = {}
        if "teacher" in self._names:
            found["agreement"] = self._agreement.compute()
            found["kl_to_teacher_nats"] = self._divergence.compute()
        for name, metric in self._calibration():
            found[f"{name}_calibration_error"] = metric.compute()
        return {name: torch.as_tensor(value).item() for name, value in found.items()}

    def _calibration(self) -> Iterator[tuple[str, Metric]]:
        metrics = cast(Iterable[Metric], self._calibrations)
        return zip(self._names, metrics, strict=True)
