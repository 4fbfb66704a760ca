"""One class for each image."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from distill.core.batch import Batch
from distill.core.outputs import LOGITS, Outputs, logits_of
from distill.metrics import AgreementMetrics
from distill.tasks.task import Comparison, ImageData
from distill.tasks.tells import Row, captioned
from distill.wiring.keys import CLASSIFIED


class Classification:
    """Images of one class each: targets are class numbers (b,), or shares of classes (b, k).

    The headline is ``top1``, the share of images whose class has the largest logit.
    """

    metric = "top1"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = (LOGITS,)
    sources: Mapping[str, str] = CLASSIFIED
    pipeline_tag = "image-classification"
    exported: tuple[str, ...] = (LOGITS,)
    numpy_code = """\
shares = np.exp(logits - logits.max())
for k in shares.argsort()[::-1][:5]:
    print(f"{classes[k]}  {shares[k] / shares.sum():.4f}")"""

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there is a logit for each class.

        Raises:
            ValueError: If there is not.
        """
        check_logits(outputs, f"(b, {len(data.classes)})", 2, len(data.classes))

    def evaluation(self, data: ImageData) -> Metric:
        """The share of images whose class is found."""
        return MulticlassAccuracy(len(data.classes), average="micro")

    def predicted(self, outputs: Outputs) -> Tensor:
        """Logits (b, k), float32."""
        return logits_of(outputs).float()

    def target(self, batch: Batch) -> Tensor:
        """Class numbers (b,)."""
        return batch.target

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.predicted(outputs), batch.target)

    def comparison(self, data: ImageData, with_teacher: bool) -> Comparison:
        """Agreement, divergence and calibration."""
        return AgreementMetrics(len(data.classes), with_teacher)

    def keeps_predictions(self) -> bool:
        """They are one class each."""
        return True

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """The class's name; of a mixed image the two largest shares."""
        if target.ndim == 0:
            return _name(int(target), classes)
        shares = {_name(i, classes): s for i, s in enumerate(target.tolist()) if s > 0}
        largest = sorted(shares.items(), key=lambda item: -item[1])[:2]
        return " + ".join(f"{label} ({share:.2f})" for label, share in largest)

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """The most probable classes and their probabilities, best first."""
        values, places = self.predicted(outputs).softmax(1).topk(min(most, len(classes)))
        return [
            _ranked([classes[k] for k in row], shares)
            for row, shares in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def pictures(self, images: Tensor, outputs: Outputs, classes: Sequence[str]) -> list[Image]:
        """The most probable class below each image."""
        rows = self.rows(outputs, classes, 1)
        return captioned(images, [f"{row['class']} {row['probability']:.2f}" for row in rows])


def check_logits(outputs: Outputs, form: str, rank: int, classes: int) -> Tensor:
    """The logits of a network, of so many dimensions and classes.

    Raises:
        ValueError: If they have another form than the one named.
    """
    logits = logits_of(outputs)
    if logits.ndim != rank or logits.shape[-1] != classes:
        needed = f"needs logits {form}, one per class of the data"
        raise ValueError(f"{needed}, gives {tuple(logits.shape)}")
    return logits


def _ranked(names: Sequence[str], shares: Sequence[float]) -> Row:
    row: Row = {}
    for place, (name, share) in enumerate(zip(names, shares, strict=True), 1):
        end = f"_{place}" if place > 1 else ""
        row |= {f"class{end}": name, f"probability{end}": share}
    return row


def _name(number: int, classes: Sequence[str]) -> str:
    if number < 0:
        return "no label"
    return classes[number] if number < len(classes) else str(number)
