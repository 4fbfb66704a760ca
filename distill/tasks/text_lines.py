"""A line of characters for each image, read by networks that are trained with CTC."""

from collections.abc import Mapping, Sequence
from typing import Literal

from PIL.Image import Image
from torch import Tensor
from torchmetrics import Metric

from distill.core.batch import Batch
from distill.core.outputs import LOGITS, Outputs, logits_of
from distill.losses import ctc_loss
from distill.metrics import LineAccuracy, LineComparison
from distill.metrics.lines import read_lines
from distill.tasks.classification import check_logits
from distill.tasks.task import ImageData
from distill.tasks.tells import Row, captioned
from distill.wiring.keys import CLASSIFIED


class TextLines:
    """Lines of text: logits are (b, t, k), class 0 the blank; targets class numbers (b, l).

    The headline, ``top1``, is the share of lines that are read without any error.
    """

    metric = "top1"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = (LOGITS,)
    sources: Mapping[str, str] = CLASSIFIED
    pipeline_tag = "image-to-text"
    exported: tuple[str, ...] = (LOGITS,)
    numpy_code = """\
path = logits.argmax(1)
print("".join(classes[k] for k, before in zip(path, [0, *path]) if k not in (0, before)))"""

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there are logits for each class, at enough steps for the longest line.

        Raises:
            ValueError: If there are not.
        """
        logits = check_logits(outputs, f"(b, t, {len(data.classes)})", 3, len(data.classes))
        longest = data.example(1).target.shape[1]
        steps = 2 * longest - 1  # a blank stands between equal characters
        if logits.shape[1] < steps:
            needed = f"needs at least {steps} steps t for lines of {longest} characters"
            raise ValueError(f"{needed}, gives logits {tuple(logits.shape)}")

    def evaluation(self, data: ImageData) -> Metric:
        """The share of lines that are read whole."""
        return LineAccuracy()

    def predicted(self, outputs: Outputs) -> Tensor:
        """Logits (b, t, k), float32."""
        return logits_of(outputs).float()

    def target(self, batch: Batch) -> Tensor:
        """Class numbers (b, l), 0 behind the last character."""
        return batch.target

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The CTC loss."""
        return ctc_loss(self.predicted(outputs), batch.target)

    def comparison(self, data: ImageData, with_teacher: bool) -> LineComparison:
        """Character error rates."""
        return LineComparison(with_teacher)

    def keeps_predictions(self) -> bool:
        """A line has no one class."""
        return False

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """The line."""
        return "".join(classes[number] for number in target.tolist() if number)

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """The text of each line, by the best path."""
        return [{"text": text} for text in self._texts(outputs, classes)]

    def pictures(self, images: Tensor, outputs: Outputs, classes: Sequence[str]) -> list[Image]:
        """The text below each line."""
        return captioned(images, self._texts(outputs, classes))

    def _texts(self, outputs: Outputs, classes: Sequence[str]) -> list[str]:
        return [self.caption(line, classes) for line in read_lines(self.predicted(outputs))]
