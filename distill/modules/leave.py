"""Weights that a finished run leaves beside its student's."""

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
from safetensors.torch import save_file
from torch import nn


def leave_weights(trainer: pl.Trainer, networks: Mapping[str, nn.Module]) -> None:
    """Write networks into the run's directory; a trainer that keeps no checkpoints leaves nothing.

    Args:
        trainer: What trained them.
        networks: By the file's path in the run's directory.
    """
    if not (trainer.checkpoint_callbacks and trainer.is_global_zero):
        return
    for name, network in networks.items():
        path = Path(trainer.default_root_dir) / name
        path.parent.mkdir(exist_ok=True)
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
