"""What a run prints, its first lines and a line per epoch, and what ``result.json`` records."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.protocols import RunModule
from distill.results.scores import OLD_METRIC
from distill.runs.ended_epoch import complete_epoch
from distill.runs.progress_bar import epoch_of, seconds_left
from distill.tasks import Task


class Notes(Protocol):
    """What has something to say at the start of a run."""

    def notes(self) -> list[str]:
        """Lines of text."""


@runtime_checkable
class HasObjective(Protocol):
    """A module whose terms are wired by paths."""

    objective: Notes


@runtime_checkable
class HasTeaching(Protocol):
    """A module whose teacher's outputs may be kept."""

    teaching: Notes


_STOPPED = "distill/stopped"
_MOST = 10


class RunRecord(pl.Callback):
    """Keeps accuracies and times of a run, and prints them.

    Args:
        console: Where to print.

    Attributes:
        scores: The student's headline figure on the validation images in percent, ``last`` and
            ``best``, and the first epoch that reached it, ``best_epoch``, counted from 0 as in
            ``metrics.csv``.
        wall_s: Seconds of training, over all parts of a resumed run.
        trained: Whether anything was left to train.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = 0.0
        self.scores: dict[str, float] = {}
        self._task: Task | None = None
        self.wall_s = 0.0
        self.trained = False
        self._stopped = self._between_epochs = False
        self._mark = 0.0
        self._images, self._training_s = 0, 0.0

    @property
    def images_per_s(self) -> float | None:
        """Training images per second, with loading, without validation; None before a step."""
        return self._images / self._training_s if self._training_s else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print who trains on what."""
        self._started = time.monotonic() - self.wall_s
        module, data = cast(RunModule, pl_module), trainer.datamodule  # type: ignore[attr-defined]
        self._task = data.task
        for name, network in (("teacher", module.teacher), ("student", module.student)):
            if network is not None:
                self._console.print(f"{name:8} {describe(network)}", highlight=False)
        sizes = ", ".join(f"{n} {name}" for name, n in data.sizes().items())
        device, precision = trainer.strategy.root_device, trainer.precision
        self._console.print(f"data     {type(data).__name__}: {sizes}", highlight=False)
        told = f"classes  {len(data.classes)}: {few(data.classes)}"
        self._console.print(told, highlight=False, markup=False, soft_wrap=True)
        self._console.print(f"device   {device}, {precision}", highlight=False)
        lines = pl_module.teaching.notes() if isinstance(pl_module, HasTeaching) else []
        lines += pl_module.objective.notes() if isinstance(pl_module, HasObjective) else []
        for line in lines:
            self._console.print(line, highlight=False, soft_wrap=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that something is trained; a run that was stopped for good does not go on."""
        self.trained = True
        if self._between_epochs:
            trainer.fit_loop.epoch_loop.restarting = False
        if self._stopped:
            trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save whether a callback, such as EarlyStopping, has stopped the run."""
        checkpoint[_STOPPED] = trainer.should_stop

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from there."""
        self._stopped = self.ended(checkpoint)
        self._between_epochs = complete_epoch(checkpoint)

    @staticmethod
    def ended(checkpoint: Mapping[str, Any]) -> bool:
        """Whether a callback, such as EarlyStopping, had stopped the run of a checkpoint."""
        return bool(checkpoint.get(_STOPPED, False))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time steps from here."""
        self._mark = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the images of all processes, and time."""
        now = time.monotonic()
        self._training_s += now - self._mark
        self._mark = now
        self._images += len(batch.image) * trainer.world_size

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the student's headline figure; time steps from here."""
        self._mark = time.monotonic()
        task = cast(Task, self._task)
        value = trainer.callback_metrics.get(f"val/{task.metric}")
        if value is None:
            told = f"{type(pl_module).__name__} does not log val/{task.metric} in validation"
            raise RecipeError("model", told)
        if not trainer.fit_loop.epoch_loop.val_loop._has_run:
            return
        best, now = self.scores.get("best"), value.item()
        self.scores["last"] = now
        if best is None or (now > best if task.goal == "maximize" else now < best):
            self.scores |= {"best": now, "best_epoch": trainer.current_epoch}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the time; print a line."""
        self.wall_s = time.monotonic() - self._started
        # An epoch that was over when its run stopped is ended without its metrics.
        loss = trainer.callback_metrics.get("train/loss", torch.tensor(torch.nan)).item()
        score = f"val {self.scores['last']:.2f} %" if self.scores else ""
        line = f"{epoch_of(trainer)}  loss {loss:.4f}  {score}  {self.wall_s:.0f} s"
        left = seconds_left(trainer, self.wall_s)
        told = line if left is None else f"{line}, {left:.0f} s left"
        bar = trainer.progress_bar_callback
        if bar is None or self._console.quiet:
            self._console.print(told, highlight=False)
        else:  # above the bar
            bar.print(told)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        speed = {"images": self._images, "training_s": self._training_s}
        return {OLD_METRIC: self.scores, "wall_s": self.wall_s} | speed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.scores, self.wall_s = state_dict[OLD_METRIC], state_dict["wall_s"]
        self._images, self._training_s = state_dict["images"], state_dict["training_s"]


def few(names: Sequence[str]) -> str:
    """The first and the last of them."""
    shown = names if len(names) <= _MOST else [*names[: _MOST - 2], "...", names[-1]]
    return ", ".join(map(str, shown))


def describe(network: nn.Module) -> str:
    """A network's class and size.

    Example:
        >>> describe(nn.Linear(10, 10))
        'Linear, 110 parameters'
    """
    return f"{type(network).__name__}, {parameters(network):,} parameters"


def parameters(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())
