"""On demand: whether the losses of a run pull its student the same way."""

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

import pytorch_lightning as pl
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.core.protocols import HasLosses
from distill.core.suggest import nearest
from distill.metrics import gradient_cosines
from distill.wiring.logged_steps import logs_this_step


class GradientCosine(pl.Callback):
    """Logs the cosine between one loss's gradient and every other's, on the steps that are logged.

    Over all of the student's parameters, as ``train/gradient_cosine/<name>``: 1 where both pull the
    same way, -1 where they undo each other. It reads the losses of the training step itself, so
    training goes on exactly as without it; a backward pass per loss on those steps. Of peers that
    take turns it compares the losses of the one that the task trains.

    Args:
        task: The loss that the others are compared with, say ``ce``.

    Attributes:
        values: By loss, the mean over the logged steps of the last epoch that had any.

    Raises:
        RecipeError: In ``setup``, if the module has no such loss.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._losses: dict[str, Tensor] = {}
        self._cosines: dict[str, list[float]] = defaultdict(list)
        self.values: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen to the losses."""
        if stage != "fit":
            return
        losses = pl_module.losses if isinstance(pl_module, HasLosses) else nn.ModuleDict()
        if self._task not in losses:
            problem = f"no loss {self._task!r}{nearest(self._task, losses)}"
            raise RecipeError("trainer.callbacks.GradientCosine.task", problem)
        for name, loss in losses.items():
            loss.register_forward_hook(self._listener(name))

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Compare the gradients of the losses that this step has just evaluated."""
        losses, self._losses = self._losses, {}
        if not logs_this_step(trainer) or self._task not in losses:
            return  # the task is not there while another peer takes its turn
        if not isinstance(pl_module, HasLosses):
            return
        weights = [weight for weight in pl_module.student.parameters() if weight.requires_grad]
        for name, cosine in gradient_cosines(losses, self._task, weights).items():
            pl_module.log(f"train/gradient_cosine/{name}", cosine)
            self._cosines[name].append(cosine.item())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average over the epoch."""
        if self._cosines:
            self.values = {name: fmean(values) for name, values in self._cosines.items()}
            self._cosines.clear()

    def _listener(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def listen(module: nn.Module, arguments: object, value: Tensor) -> None:
            self._losses[name] = value

        return listen
