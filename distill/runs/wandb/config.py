"""Weights & Biases: the resolved recipe as a run's config."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger


class WandbConfig(pl.Callback):
    """Gives each W&B run the resolved recipe as its config.

    Args:
        config: The recipe as plain values.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log it."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(dict(self._config), allow_val_change=True)
