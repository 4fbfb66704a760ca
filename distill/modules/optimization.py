"""The optimizer and the learning-rate schedule of a LightningModule, checked before training."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.cli import ReduceLROnPlateau as NamedPlateau
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR

from distill.core.errors import RecipeError
from distill.tasks import ImageData

_NEVER = 2**62
Decay = Literal["all", "weights"]


class Optimization:
    """Makes the optimizer and the schedule that a recipe names.

    Args:
        optimizer: Makes the optimizer from parameters; None gives SGD with learning rate 0.05,
            momentum 0.9 and weight decay 5e-4.
        scheduler: Makes the schedule from the optimizer; None keeps the rate.
        interval: Whether the schedule counts epochs or steps.
        decay: Which parameters its weight decay acts on: ``all``, or ``weights``, those of two or
            more dimensions, so that norms and biases are spared.

    Raises:
        ValueError: If ``decay`` is neither.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable | None,
        scheduler: LRSchedulerCallable | None,
        interval: Literal["epoch", "step"] = "epoch",
        decay: Decay = "all",
    ) -> None:
        if decay not in ("all", "weights"):
            raise ValueError(f"decay must be all or weights, got {decay!r}")
        self._optimizer = optimizer or _default_optimizer
        self._scheduler, self._interval, self._decay = scheduler, interval, decay

    def check(self) -> None:
        """Make both for a matrix and a bias, so that what is wrong is said before training.

        Raises:
            RecipeError: Naming the one that is wrong.
        """
        key = "model.optimizer"
        try:
            shapes = ((1, 1), (1,))
            made = self.made([nn.Parameter(torch.zeros(shape)) for shape in shapes])
            if isinstance(made, torch.optim.LBFGS):
                raise ValueError("LBFGS is not for batches: it sees each several times in a step")
            if self._scheduler is not None:
                key = "model.scheduler"
                _check_step_size(self._scheduler(made))
        except Exception as error:
            raise RecipeError(key, str(error)) from error

    def configure(
        self, module: pl.LightningModule, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """What ``configure_optimizers`` returns.

        Args:
            module: What is trained.
            optimizer: None: one of all its parameters.
        """
        if optimizer is None:
            optimizer = self.made([p for p in module.parameters() if p.requires_grad])
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer)
        data = module.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(scheduler, ReduceLROnPlateau):
            monitor = scheduler.monitor if isinstance(scheduler, NamedPlateau) else "val/loss"
            # Lightning would step it after the epoch's last checkpoint; PlateauSteps does before.
            config = {"scheduler": scheduler, "monitor": monitor, "frequency": _NEVER}
        elif isinstance(data, ImageData):
            # Lightning steps epoch schedules after the epoch's last checkpoint, so a run resumed
            # from that one would miss a step: an epoch's batches are counted instead.
            epoch = len(data.train_dataloader())  # type: ignore[attr-defined]
            every = epoch if self._interval == "epoch" else 1
            _check_length(scheduler, module.trainer, epoch, every)
            config = {"scheduler": scheduler, "interval": "step", "frequency": every}
        else:  # plain loaders, which are resumed as Lightning does it
            config = {"scheduler": scheduler, "interval": self._interval}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def made(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of some parameters."""
        spared = self._decay == "weights"
        return self._optimizer(_weights_and_rest(parameters) if spared else parameters)


class PlateauSteps(pl.Callback):
    """Steps ``ReduceLROnPlateau`` at the end of each epoch that measured what it watches.

    That is before the epoch's checkpoint, so that a resumed run has the schedule's state and need
    not have the figure. Epochs without a validation do not count.
    """

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the figures that are watched."""
        if not trainer.sanity_checking:
            self._validated = True
            self._note(trainer, trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step, each by its figure.

        Raises:
            RecipeError: If a figure is not logged at all.
        """
        self._note(trainer, {k: v for k, v in trainer.callback_metrics.items() if k[:4] != "val/"})
        for config in trainer.lr_scheduler_configs:
            if not isinstance(config.scheduler, ReduceLROnPlateau):
                continue
            watched = str(config.monitor)
            if watched in self._values:
                config.scheduler.step(self._values.pop(watched))
                continue
            due = self._validated or not watched.startswith("val/")
            if due and watched not in trainer.callback_metrics:
                known = ", ".join(sorted(map(str, trainer.callback_metrics)))
                message = f"watches {watched}, which is not logged; logged are {known}"
                raise RecipeError("model.scheduler", message)

    def state_dict(self) -> dict[str, Any]:
        """Figures of an epoch that is not over."""
        return dict(self._values)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self._values = dict(state_dict)

    def _note(self, trainer: pl.Trainer, found: Mapping[str, torch.Tensor]) -> None:
        names = {str(config.monitor) for config in trainer.lr_scheduler_configs}
        self._values |= {name: float(found[name]) for name in names & set(found)}


def _check_step_size(scheduler: object) -> None:
    size = scheduler.step_size if isinstance(scheduler, StepLR) else 1
    if size < 1:
        raise ValueError(f"step_size must be at least 1, got {size}")


def _check_length(scheduler: LRScheduler, trainer: pl.Trainer, epoch: int, every: int) -> None:
    """Check that a schedule of a given length is as long as training."""
    total = getattr(scheduler, "total_steps", None)
    if total is None or trainer.max_epochs is None or trainer.max_epochs < 0:
        return
    batches = trainer.max_epochs * epoch
    if trainer.max_steps > 0:
        batches = min(batches, trainer.max_steps * trainer.accumulate_grad_batches)
    steps = batches // max(every, trainer.accumulate_grad_batches)
    if steps > total:
        told = f"{type(scheduler).__name__} has total_steps {total}, training takes {steps} of them"
        raise RecipeError("model.scheduler", told)


def _default_optimizer(parameters: Any) -> torch.optim.Optimizer:  # noqa: ANN401 - as torch's
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4)


def _weights_and_rest(parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """Two groups: the optimizer's own decay for matrices and kernels, none for what is smaller."""
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    rest = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": weights}, {"params": rest, "weight_decay": 0.0}]
