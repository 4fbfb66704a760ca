"""A cache of a teacher's outputs whose entries are written when an epoch ends, whatever ends it."""

import pytorch_lightning as pl

from distill.cache import TeacherCache


class KeepsOutputs(pl.Callback):
    """Writes what a cache of shards holds back: a file of it alone lets others read it.

    Attributes:
        cache: The open cache, if there is one.
    """

    def __init__(self) -> None:
        self.cache: TeacherCache | None = None

    def keep(self) -> None:
        """Write it now."""
        if self.cache is not None:
            self.cache.flush()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch of training and its validation are over."""
        self.keep()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The test images were seen."""
        self.keep()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """A signal or an error ends the run."""
        self.keep()
