"""Any number of classes for each image."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MultilabelAveragePrecision,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from distill.core.batch import Batch
from distill.core.outputs import LOGITS, Outputs, logits_of
from distill.metrics.labels import LabelComparison
from distill.tasks.classification import check_logits
from distill.tasks.task import ImageData
from distill.tasks.tells import Row, captioned
from distill.wiring.keys import CLASSIFIED


class MultiLabel:
    """Images of any number of classes: targets (b, k) are 1 where a class is there, 0 elsewhere.

    Figures, by torchmetrics: ``mAP``, the headline, the mean over classes of the area under their
    curves of precision over recall; ``f1``, the mean over classes at a probability of one half;
    ``exact``, the share of images all of whose classes are found and no others.
    """

    metric = "mAP"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = (LOGITS,)
    sources: Mapping[str, str] = CLASSIFIED
    pipeline_tag = "image-classification"
    exported: tuple[str, ...] = (LOGITS,)
    numpy_code = """\
shares = 1 / (1 + np.exp(-logits))
for k in np.flatnonzero(shares > 0.5):
    print(f"{classes[k]}  {shares[k]:.4f}")"""

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there is a logit for each class.

        Raises:
            ValueError: If there is not.
        """
        check_logits(outputs, f"(b, {len(data.classes)})", 2, len(data.classes))

    def evaluation(self, data: ImageData) -> Metric:
        """Mean average precision, F1 and exact matches."""
        k = len(data.classes)
        figures: dict[str, Metric | MetricCollection] = {
            "mAP": MultilabelAveragePrecision(k, average="macro"),
            "f1": MultilabelF1Score(k, average="macro"),
            "exact": MultilabelExactMatch(k),
        }
        return MetricCollection(figures)  # type: ignore[return-value]

    def predicted(self, outputs: Outputs) -> Tensor:
        """The probability of each class (b, k)."""
        return logits_of(outputs).float().sigmoid()

    def target(self, batch: Batch) -> Tensor:
        """The labels (b, k), int64."""
        return batch.target.long()

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Binary cross-entropy, the sum over classes and the mean over images."""
        logits, target = logits_of(outputs).float(), batch.target.float()
        return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(logits)

    def comparison(self, data: ImageData, with_teacher: bool) -> LabelComparison:
        """Agreement and divergence of the decisions on each class."""
        return LabelComparison(with_teacher)

    def keeps_predictions(self) -> bool:
        """An image has no one class."""
        return False

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """The classes that are there."""
        there = [name for name, value in zip(classes, target.tolist(), strict=False) if value > 0.5]
        return ", ".join(there) or "none"

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """All classes with a probability above one half, most probable first, whatever ``most``."""
        values, places = self.predicted(outputs).sort(1, descending=True)
        found: list[Row] = []
        for shares, numbers in zip(values.tolist(), places.tolist(), strict=True):
            there = [(classes[k], p) for k, p in zip(numbers, shares, strict=True) if p > 0.5]
            found.append({"labels": [n for n, _ in there], "probabilities": [p for _, p in there]})
        return found

    def pictures(self, images: Tensor, outputs: Outputs, classes: Sequence[str]) -> list[Image]:
        """The classes that are there below each image."""
        there = self.predicted(outputs)
        return captioned(images, [self.caption(row, classes) for row in there])
