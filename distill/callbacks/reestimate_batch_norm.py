"""Batch statistics of the weights that training ends with, not of those on the way.

Under few bits weights jump between levels, and running statistics lag behind (Nagel et al.,
"Overcoming oscillations in quantization-aware training", ICML 2022, arXiv 2203.11086).
"""

from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.core.protocols import RunModule


class ReestimateBatchNorm(pl.Callback):
    """Takes the student's batch statistics anew when training ends, as plain means over batches.

    The batches are those that would come next, in their views; no weight changes. It is done after
    the last step and before the last validation. A run that something else ends, such as early
    stopping, keeps its running statistics.

    Args:
        batches: How many; at most those of an epoch are seen.

    Raises:
        RecipeError: If ``batches`` is below 1; in ``setup``, if the student has no batch norm with
            running statistics; when training begins, if its end is not known.
    """

    def __init__(self, batches: int = 50) -> None:
        if batches < 1:
            raise RecipeError("batches", f"must be at least 1, got {batches}")
        self._batches = batches
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the student."""
        parts = pl_module.student.modules() if isinstance(pl_module, RunModule) else ()
        if not any(isinstance(part, _BatchNorm) and part.track_running_stats for part in parts):
            told = "it has no batch norm with running statistics to estimate"
            raise RecipeError("model.student", told)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn how long training is."""
        steps = trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise RecipeError("trainer", "ReestimateBatchNorm needs max_epochs or max_steps")
        self._steps = int(steps)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """After the last step, run the student over batches that train nothing."""
        if trainer.global_step != self._steps or not isinstance(pl_module, RunModule):
            return
        with trainer.precision_plugin.forward_context(), isolate_rng():
            update_bn(islice(_images(trainer, pl_module), self._batches), _Student(pl_module))


def _images(trainer: Any, module: Any) -> Iterator[Tensor]:  # noqa: ANN401 - parts that Lightning hides
    """Images of the batches that would come next, as a step would see them."""
    hooks, loader = trainer.datamodule or module, copy(trainer.train_dataloader)
    # Persistent workers would be left in the middle of a pass.
    loader.__dict__["_iterator"] = None
    for given in loader:
        batch = hooks.on_before_batch_transfer(given, 0)
        batch = hooks.transfer_batch_to_device(batch, module.device, 0)
        batch = hooks.on_after_batch_transfer(batch, 0)
        yield batch.image if isinstance(batch, Batch) else batch[0]


class _Student(nn.Module):
    """The student for images as they are."""

    def __init__(self, module: RunModule) -> None:
        super().__init__()
        self.network, self._networks = module.student, module.networks

    def forward(self, image: Tensor) -> Outputs:
        return self._networks.outputs("student", image)
