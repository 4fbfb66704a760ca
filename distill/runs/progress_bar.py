"""The bar of a run in a terminal, and how long a run still takes."""

from collections.abc import Iterable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar


class EpochBar(RichProgressBar):
    """Lightning's bar, with epochs counted from 1 as the lines beside it count them."""

    def _get_train_description(self, current_epoch: int) -> str:
        told = _of(current_epoch + 1, self.trainer.max_epochs)
        return f"epoch {told}".ljust(len(self.validation_description))


def bars(callbacks: Iterable[pl.Callback]) -> list[ProgressBar]:
    """The progress bars among callbacks."""
    return [one for one in callbacks if isinstance(one, ProgressBar)]


def epoch_of(trainer: pl.Trainer) -> str:
    """The epoch that a run is in, counted from 1, of how many: ``epoch 2/3``."""
    return f"epoch {_of(trainer.current_epoch + 1, trainer.max_epochs)}"


def seconds_left(trainer: pl.Trainer, taken: float) -> float | None:
    """Seconds until the last epoch or step, at the speed so far; None where there is no last one.

    Args:
        trainer: At the end of an epoch.
        taken: Seconds of training so far.
    """
    done = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        done.append((trainer.current_epoch + 1) / trainer.max_epochs)
    if trainer.max_steps > 0:
        done.append(trainer.global_step / trainer.max_steps)
    share = max(done, default=0.0)
    return max(0.0, taken * (1 / share - 1)) if share else None


def _of(number: int, last: int | None) -> str:
    return f"{number}/{last}" if last is not None and last > 0 else str(number)
