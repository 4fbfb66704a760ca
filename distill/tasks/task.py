"""What a task must offer, and what it may ask of a datamodule."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor
from torchmetrics import Metric

from distill.core.batch import Batch
from distill.core.outputs import Outputs


class Comparison(Protocol):
    """Collects what a student, and a teacher if there is one, gave over the batches of a set."""

    def update(self, student: Any, teacher: Any, target: Any) -> None:  # noqa: ANN401
        """Add a batch: what :meth:`Task.predicted` and :meth:`Task.target` gave."""

    def compute(self) -> dict[str, float]:
        """What was found, by name."""


class Task(Protocol):
    """The meaning of a datamodule's labels.

    Nothing else in the toolkit asks what the data are. A task has no state: one object serves any
    number of datamodules and runs.

    Attributes:
        metric: The headline figure: it is logged as ``val/<metric>``, chooses ``best.ckpt`` and
            heads benches, sweeps and reports.
        goal: Whether more or less of it is better.
        outputs: Names of what a network gives; one tensor alone has the first of them.
        sources: What a term may read of a batch: its key, and the attribute of ``Batch``.
    """

    metric: str
    goal: Literal["maximize", "minimize"]
    outputs: tuple[str, ...]
    sources: Mapping[str, str]

    def check_outputs(self, outputs: Outputs, data: "ImageData") -> None:
        """Check what a network gives for two images of the data.

        Raises:
            ValueError: Naming both sides, in one line, from the network's view: "needs ...".
        """

    def evaluation(self, data: "ImageData") -> Metric:
        """An empty metric. It computes the headline figure, or several by name, in 0..1.

        It is updated with what ``predicted`` and ``target`` give; figures are logged in percent.
        """

    def predicted(self, outputs: Outputs) -> Any:  # noqa: ANN401 - whatever its metrics take
        """What metrics are given for a network's outputs."""

    def target(self, batch: Batch) -> Any:  # noqa: ANN401 - whatever its metrics take
        """What metrics are given for a batch's labels."""

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor | None:
        """The usual loss on the labels, a scalar: the ``val/loss`` of every method; None: none."""

    def comparison(self, data: "ImageData", with_teacher: bool) -> Comparison:
        """What sets student and teacher side by side after training."""

    def keeps_predictions(self) -> bool:
        """Whether ``predicted`` are logits (b, k) of one class each, to be kept for reports."""

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """One sample's label, as text under its picture."""


@runtime_checkable
class ImageData(Protocol):
    """What modules, runs and tasks ask of a datamodule beside Lightning's hooks.

    Attributes:
        task: What its labels mean.
        classes: Names of the classes.
        mean: Of each channel of its images in 0..1.
        std: The same.
    """

    task: Task
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def example(self, n: int) -> Batch:
        """The first ``n`` training samples, not augmented."""

    def sizes(self) -> dict[str, int]:
        """Images by split, of those that are set up."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Their view; Lightning's hook."""
