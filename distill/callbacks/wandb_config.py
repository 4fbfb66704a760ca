"""Weights & Biases: the resolved recipe as a run's config, and never a reason not to train."""

import netrc
import os
import socket
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

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


def offline_if_unreachable(arguments: dict[str, Any], seconds: float = 3.0) -> None:
    """Set ``offline`` in a WandbLogger's arguments where the server cannot be used.

    Args:
        arguments: The logger's ``init_args``, changed in place.
        seconds: How long to wait for a connection.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if arguments.get("offline") or mode in ("offline", "disabled"):
        return
    url = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    problem = "" if _has_key(host) else "no API key"
    try:
        with socket.create_connection((host, port), timeout=seconds):
            pass
    except OSError:
        problem = problem or f"no connection to {host}"
    if problem:
        arguments["offline"] = True
        warnings.warn(
            f"W&B: {problem}; logging offline, send later with `wandb sync`", stacklevel=2
        )


def _has_key(host: str) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
