"""One class for each pixel."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor
from torchmetrics import Metric

from distill.core.batch import IGNORED, Batch
from distill.core.outputs import LOGITS, Outputs, logits_of
from distill.metrics.segmentation import PixelComparison, PixelFigures
from distill.tasks.task import ImageData
from distill.tasks.tells import Row, drawn

KNOWN = "known"


class Segmentation:
    """Images with a mask: logits are (b, k, h, w), the mask (b, h, w), 255 where it is not known.

    The headline is ``miou``, the intersection over union of labels and predictions, the mean over
    classes; beside it ``pixel_accuracy``. Terms may read ``batch.mask``, int64, and every tensor of
    the mask's places at those that are known, for instance ``student.logits[known]`` (m, k).
    """

    metric = "miou"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = (LOGITS,)
    sources: Mapping[str, str] = {"batch.index": "index"}
    made: tuple[str, ...] = ("batch.mask",)
    regions: tuple[str, ...] = (KNOWN,)
    pipeline_tag = "image-segmentation"
    exported: tuple[str, ...] = (LOGITS,)
    numpy_code = """\
found = logits.argmax(0)
shares = np.bincount(found.ravel(), minlength=len(classes)) / found.size
for k in shares.argsort()[::-1]:
    if shares[k]:
        print(f"{shares[k]:.4f}  {classes[k]}")"""

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there is a logit for each class at each pixel.

        Raises:
            ValueError: If there is not, or the data have no masks.
        """
        example = data.example(1)
        if example.mask is None:
            raise ValueError("needs masks, the data have none: a segmenter learns from masks")
        logits, (height, width) = logits_of(outputs), example.image.shape[-2:]
        if logits.ndim != 4 or logits.shape[1:] != (len(data.classes), height, width):
            form = f"(b, {len(data.classes)}, {height}, {width})"
            needed = f"needs logits {form}, one per class of the data at each pixel"
            raise ValueError(f"{needed}, gives {tuple(logits.shape)}")

    def evaluation(self, data: ImageData) -> Metric:
        """Mean intersection over union, and pixel accuracy."""
        return PixelFigures(len(data.classes))

    def predicted(self, outputs: Outputs) -> Tensor:
        """Logits (b, k, h, w), float32."""
        return logits_of(outputs).float()

    def target(self, batch: Batch) -> Tensor:
        """The class of each pixel (b, h, w), int64."""
        return _mask(batch)

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy, the mean over the pixels that are known."""
        mask = _mask(batch)
        total = F.cross_entropy(
            self.predicted(outputs), mask, ignore_index=IGNORED, reduction="sum"
        )
        return total / (mask != IGNORED).sum().clamp_min(1)

    def comparison(self, data: ImageData, with_teacher: bool) -> PixelComparison:
        """The figures of each class; agreement and divergence."""
        return PixelComparison(data.classes, with_teacher)

    def keeps_predictions(self) -> bool:
        """An image has no one class."""
        return False

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """Nothing: an image has no one class."""
        return ""

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """The classes of the largest areas, and their shares of the image, the largest first."""
        found = self.predicted(outputs).argmax(1).flatten(1)
        rows: list[Row] = []
        for pixels in found.cpu():
            shares = torch.bincount(pixels, minlength=len(classes)) / len(pixels)
            values, places = shares.topk(min(most, int((shares > 0).sum())))
            named = [classes[k] for k in places.tolist()]
            rows.append({"classes": named, "shares": values.tolist()})
        return rows

    def pictures(self, images: Tensor, outputs: Outputs, classes: Sequence[str]) -> list[Image]:
        """Images tinted by the classes of their pixels; the first class has no tint."""
        return drawn(images.cpu(), masks=self.predicted(outputs).argmax(1).cpu())

    def make(
        self, batch: Batch, outputs: Mapping[str, Outputs], wanted: Collection[str]
    ) -> dict[str, Tensor]:
        """The mask, and where it is known (b, h, w)."""
        mask = _mask(batch)
        return {"batch.mask": mask, KNOWN: mask != IGNORED}

    def rows_at(self, value: Tensor, region: Tensor) -> Tensor:
        """The pixels (m,) of a mask (b, h, w), or (m, c) of maps (b, c, h, w), at those places.

        Raises:
            ValueError: If the maps have another size than the mask.
        """
        at = value.movedim(1, -1) if value.ndim == region.ndim + 1 else value
        if at.shape[: region.ndim] != region.shape:
            places = f"a mask {tuple(region.shape)} and a tensor {tuple(value.shape)}"
            raise ValueError(f"{places} have no rows in common: only maps of the images' size have")
        return at[region]


def _mask(batch: Batch) -> Tensor:
    if batch.mask is None:
        raise ValueError("needs masks, the data have none")
    return batch.mask.long()
