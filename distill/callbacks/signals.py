"""Signals end a run with a checkpoint, not with a lost epoch."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from distill.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


class StopOnSignal(Checkpoint):
    """On SIGTERM, SIGINT, SIGUSR1 or SIGHUP finishes the step, saves ``last.ckpt`` and stops.

    In the last step of an epoch, and in validation, it waits until the epoch's end, where weight
    averages are swapped back and schedules have moved. A second SIGINT stops at once.

    Args:
        folder: Where the checkpoint goes.

    Raises:
        Interrupted: From the training loop, once the checkpoint is saved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signum = 0
        self._before: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen."""
        if stage == "fit":
            for signum in SIGNALS:
                self._before[signum] = signal.signal(signum, self._note)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop listening."""
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop listening."""
        self._restore()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop here, unless the epoch is about to end."""
        if self._signum and not trainer.is_last_batch:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop here."""
        if self._signum:
            self._stop(trainer)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._signum == signum == signal.SIGINT:
            raise KeyboardInterrupt
        self._signum = signum

    def _stop(self, trainer: pl.Trainer) -> None:
        path = self._folder / "last.ckpt"
        trainer.save_checkpoint(path)
        name = signal.Signals(self._signum).name
        resume = f"go on with: distill resume {self._folder.parent}"
        raise Interrupted(
            self._signum, f"{name}: saved {path} at step {trainer.global_step}; {resume}"
        )

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}
