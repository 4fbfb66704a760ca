"""How well pixels are classified, from counts of classes against classes."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from distill.core.batch import IGNORED


class PixelFigures(MulticlassConfusionMatrix):
    """Mean intersection over union, and pixel accuracy, over all pixels of a set.

    Counts of a set are gathered before anything is divided, so images of different content weigh by
    their pixels. Classes that neither labels nor predictions have are left out of the mean; pixels
    of class 255 count nowhere.

    Args:
        num_classes: Classes.

    Example:
        >>> import torch
        >>> figures = PixelFigures(2)
        >>> logits = torch.tensor([[[[2.0, 2.0]], [[1.0, 3.0]]]])
        >>> figures.update(logits, torch.tensor([[[0, 255]]]))
        >>> figures.compute()
        {'miou': tensor(1.), 'pixel_accuracy': tensor(1.)}
    """

    full_state_update = False

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, ignore_index=IGNORED, validate_args=False)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """``miou`` and ``pixel_accuracy``, in 0..1; 0 where no pixel is labelled."""
        counts = super().compute().double()
        iou = iou_of_classes(counts)
        known = iou[~iou.isnan()]
        accuracy = counts.diagonal().sum() / counts.sum().clamp_min(1)
        mean = known.mean() if len(known) else counts.new_zeros(())
        return {"miou": mean.float(), "pixel_accuracy": accuracy.float()}


def iou_of_classes(counts: Tensor) -> Tensor:
    """Intersection over union (k,) of counts (k, k), labels by predictions; NaN for absent classes.

    Example:
        >>> import torch
        >>> iou_of_classes(torch.tensor([[2, 1, 0], [0, 1, 0], [0, 0, 0]]))
        tensor([0.6667, 0.5000,    nan])
    """
    same = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - same
    return same / union


class PixelComparison(nn.Module):
    """Sets the pixels of a student beside its teacher's.

    Args:
        classes: Names of the classes.
        with_teacher: Whether there is a teacher.
    """

    def __init__(self, classes: Sequence[str], with_teacher: bool) -> None:
        super().__init__()
        self._classes = tuple(classes)
        self._counts = MulticlassConfusionMatrix(
            len(classes), ignore_index=IGNORED, validate_args=False
        )
        self._agreement = MeanMetric() if with_teacher else None
        self._divergence = MeanMetric() if with_teacher else None

    def update(self, student: Tensor, teacher: Tensor | None, target: Tensor) -> None:
        """Add a batch.

        Args:
            student: Logits (b, k, h, w).
            teacher: The same; None where there is no teacher.
            target: The class of each pixel (b, h, w), 255 where it is not known.
        """
        self._counts.update(student, target)
        if self._agreement is None or self._divergence is None or teacher is None:
            return
        self._agreement.update((student.argmax(1) == teacher.argmax(1)).float())
        own, other = student.log_softmax(1), teacher.log_softmax(1)
        self._divergence.update(F.kl_div(own, other, reduction="none", log_target=True).sum(1))

    def compute(self) -> dict[str, float]:
        """Compute the figures of all batches.

        Returns:
            ``iou of NAME``, the student's, in percent, for each class that is there. With a
            teacher ``agreement``, the share of pixels of the same class, and
            ``kl_to_teacher_nats``, KL(teacher || student), the mean over pixels.
        """
        found = {}
        if self._agreement is not None and self._divergence is not None:
            found["agreement"] = self._agreement.compute().item()
            found["kl_to_teacher_nats"] = self._divergence.compute().item()
        shares = iou_of_classes(self._counts.compute().double())
        for name, share in zip(self._classes, shares.tolist(), strict=True):
            if share == share:
                found[f"iou of {name}"] = 100 * share
        return found
