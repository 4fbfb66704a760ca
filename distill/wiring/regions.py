"""Rows of dense tensors: what a term reads at the places that a task's labels choose."""

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.outputs import Outputs
from distill.wiring.gather import mean_over_processes


@runtime_checkable
class Places(Protocol):
    """A task whose labels give more than parts of a batch: tensors, and places to read rows at.

    Attributes:
        made: Keys of the tensors, for instance ``assigned.boxes``.
        regions: Names of the places, for instance ``positive``.
    """

    made: tuple[str, ...]
    regions: tuple[str, ...]

    def make(
        self, batch: Batch, outputs: Mapping[str, Outputs], wanted: Collection[str]
    ) -> dict[str, Tensor]:
        """The tensors of the wanted keys, and the wanted regions as bool tensors, by name.

        Args:
            batch: Images as the networks saw them, with their labels.
            outputs: What the networks gave, by their names.
            wanted: Some of ``made`` and ``regions``.
        """

    def rows_at(self, value: Tensor, region: Tensor) -> Tensor:
        """The rows (m, ...) of a tensor at the places where a region is true.

        Raises:
            ValueError: If the two have different places.
        """


def no_rows(loss: nn.Module, tensors: Collection[Tensor]) -> Tensor:
    """A loss of nothing: 0, with a gradient of 0 to all that it could have had one to."""
    parts = [*tensors, *loss.parameters()]
    zeros = [part.sum() * 0 for part in parts if part.is_floating_point() and part.requires_grad]
    device = next((part.device for part in parts), torch.device("cpu"))
    return torch.stack(zeros).sum() if zeros else torch.zeros((), device=device)


def share_of_mean(rows: Tensor) -> float:
    """What to multiply a mean of rows (m, ...) by, so that processes train as one.

    With w processes it is m w / (the sum of m over all), since gradients are averaged over
    processes; alone it is 1.
    """
    mean = mean_over_processes(torch.tensor(float(len(rows)), device=rows.device)).item()
    return len(rows) / mean if mean else 1.0
