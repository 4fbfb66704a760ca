"""What a run tells: its first lines, a line per epoch, and the record in ``result.json``."""

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from torch import nn

from distill.core.batch import Batch


class RunRecord(pl.Callback):
    """Keeps accuracies and times of a run, and prints them.

    Args:
        console: Where to print.
        each_epoch: Print a line per epoch, for terminals without a progress bar.

    Attributes:
        top1: The student's validation accuracy in percent, ``last`` and ``best``, and the first
            epoch that reached it, ``best_epoch``, counted from 0 as in ``metrics.csv``.
        wall_s: Seconds of training, over all parts of a resumed run.
        trained: Whether anything was left to train.
    """

    def __init__(self, console: Console, each_epoch: bool) -> None:
        self._console, self._each_epoch = console, each_epoch
        self._started = 0.0
        self.top1: dict[str, float] = {}
        self.wall_s = 0.0
        self.trained = False
        self._mark = 0.0
        self._images, self._training_s = 0, 0.0

    @property
    def images_per_s(self) -> float | None:
        """Training images per second, with loading, without validation; None before a step."""
        return self._images / self._training_s if self._training_s else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print who trains on what."""
        self._started = time.monotonic() - self.wall_s
        for name in ("teacher", "student"):
            network = getattr(pl_module, name, None)
            if network is not None:
                self._console.print(f"{name:8} {describe(network)}", highlight=False)
        sizes = ", ".join(f"{n} {name}" for name, n in data_sizes(trainer).items())
        device, precision = trainer.strategy.root_device, trainer.precision
        data = type(trainer.datamodule).__name__  # type: ignore[attr-defined]
        self._console.print(f"data     {data}: {sizes}", highlight=False)
        self._console.print(f"device   {device}, {precision}", highlight=False)
        recall = getattr(pl_module, "recall", None)
        if recall is not None:
            self._console.print(f"cache    {recall.store.path}", highlight=False, soft_wrap=True)
        for key, shape in getattr(pl_module, "shapes", {}).items():
            self._console.print(f"tap      {key} {shape[1:]}", highlight=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that something is trained."""
        self.trained = True

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
        """Note the student's accuracy; time steps from here."""
        self._mark = time.monotonic()
        value = trainer.callback_metrics.get("val/top1")
        if value is None or not trainer.fit_loop.epoch_loop.val_loop._has_run:
            return
        self.top1["last"] = value.item()
        if value.item() > self.top1.get("best", -1):
            self.top1 |= {"best": value.item(), "best_epoch": trainer.current_epoch}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the time; print a line."""
        self.wall_s = time.monotonic() - self._started
        if self._each_epoch:
            loss = trainer.callback_metrics["train/loss"].item()
            accuracy = f"val {self.top1['last']:.2f} %" if self.top1 else ""
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._console.print(
                f"{epoch}  loss {loss:.4f}  {accuracy}  {self.wall_s:.0f} s", highlight=False
            )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        speed = {"images": self._images, "training_s": self._training_s}
        return {"top1": self.top1, "wall_s": self.wall_s} | speed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.top1, self.wall_s = state_dict["top1"], state_dict["wall_s"]
        self._images, self._training_s = state_dict["images"], state_dict["training_s"]


def data_sizes(trainer: pl.Trainer) -> dict[str, int]:
    """Images per split."""
    pipeline = trainer.datamodule.pipeline  # type: ignore[attr-defined]
    sets = {"train": pipeline.train, "val": pipeline.val, "test": pipeline.test}
    return {name: len(samples.ids) for name, samples in sets.items() if samples is not None}


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
