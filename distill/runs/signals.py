"""Saves a checkpoint and stops when a signal asks the run to end."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loops.fetchers import _DataFetcher
from torch.distributed import distributed_c10d

from distill.core.errors import Interrupted
from distill.core.stopping import handled_signals
from distill.runs.directory import resume_command

STOP_STEP = "distill/stop"
"""Key of the step after which all processes stop, in the store that they share."""


class StopOnSignal(Checkpoint):
    """On SIGTERM, SIGINT, SIGUSR1 or SIGHUP finishes the step, saves ``last.ckpt`` and stops.

    In validation it waits until that has ended, and in the last step of an epoch until the epoch's
    end, where weight averages are swapped back and schedules have moved. A second SIGINT stops at
    once.

    Of several processes any one may get the signal. It sets the step after which all stop, the one
    after its own: no process can finish that step without the others, so none can miss it. A run
    whose last step is over by then ends as if there had been no signal.

    Args:
        folder: Where the checkpoint goes.

    Raises:
        Interrupted: From the training loop, once the checkpoint is saved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signum = 0  # of the signal that this process got
        self._agreed = 0  # of the one that all processes stop for
        self._saved = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, instead of Lightning, which puts the former handlers back when fit ends.

        Only the main thread can: a run in another one is not stopped by signals.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in handled_signals():
            signal.signal(signum, self._receive)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save here, unless a validation follows; this step's metrics are logged after it."""
        batches = cast(_DataFetcher, trainer.fit_loop._data_fetcher)
        if not trainer.fit_loop.epoch_loop._should_check_val_fx(batches):
            self._save_within_epoch(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after a validation within an epoch: what noted its figures is saved with them."""
        if not trainer.sanity_checking:
            self._save_within_epoch(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop if the last step was saved."""
        if self._saved:
            self._stop(self._saved)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save and stop."""
        if self._due(trainer):
            self._save(trainer)
            self._stop(self._saved)

    def _save_within_epoch(self, trainer: pl.Trainer) -> None:
        """Save, unless the epoch is about to end.

        Gradients that were gathered over batches are in no checkpoint: it waits for their step.
        """
        stepped = not trainer.fit_loop.epoch_loop._should_accumulate()
        if stepped and not trainer.is_last_batch and self._due(trainer):
            self._save(trainer)

    def _due(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            self._agreed = self._signum
            return bool(self._signum)
        # The store that the processes share: reading it needs no collective and no device waits.
        store = distributed_c10d._get_default_store()
        if self._signum:
            store.compare_set(STOP_STEP, "", f"{trainer.global_step + 1} {self._signum}")
        if not store.check([STOP_STEP]):
            return False
        step, self._agreed = (int(part) for part in store.get(STOP_STEP).split())
        return bool(trainer.global_step >= step)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._signum == signum == signal.SIGINT:
            self._agreed = signum
            self._stop("stopped at once")
        self._signum = signum

    def _save(self, trainer: pl.Trainer) -> None:
        path = self._folder / "last.ckpt"
        trainer.save_checkpoint(path)
        self._saved = f"saved {path} at step {trainer.global_step}"

    def _stop(self, what: str) -> None:
        name = signal.Signals(self._agreed).name
        resume = f"continue with: {resume_command(self._folder.parent)}"
        raise Interrupted(self._agreed, f"{name}: {what}; {resume}")
