"""Training ends at the first value that is not finite, and never saves one."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from distill.core.errors import NonFiniteError


def check_total(
    total: Tensor, values: Mapping[str, Tensor], step: int, target: Tensor | None = None
) -> None:
    """Check an objective.

    Args:
        total: The weighted sum.
        values: The terms by name.
        step: Which step of the run it is, for the message.
        target: The class numbers of the batch, if a term reads them.

    Raises:
        NonFiniteError: Naming the terms that are infinite or NaN.
    """
    if not torch.isfinite(total):
        names = [name for name, value in values.items() if not torch.isfinite(value)]
        term = ", ".join(names) or "the weighted sum"
        unlabelled = isinstance(target, Tensor) and bool((target < 0).all())
        why = (
            ": no image of its batch has a label; distill.losses.CrossEntropyLoss is 0 there"
            if unlabelled
            else ""
        )
        raise NonFiniteError(f"train/loss/{term} is not finite at step {step}{why}")


class FiniteWeights(pl.Callback):
    """Refuses to save weights that are not finite."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check them."""
        check_weights(checkpoint["state_dict"], trainer.global_step)


def check_weights(state: Mapping[str, Tensor], step: int) -> None:
    """Check what is about to be saved.

    Raises:
        NonFiniteError: Naming the first tensor that is not finite.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteError(f"{name} is not finite at step {step}")
