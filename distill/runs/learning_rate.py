"""The learning rate of each step, among the figures of a run."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer


class LearningRates(pl.Callback):
    """Logs ``train/lr``, the rate that a step is taken with, in the rows of ``train/loss``."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Log it before a schedule changes it."""
        for name, rate in rates(trainer.optimizers).items():
            pl_module.log(name, torch.tensor(rate, dtype=torch.float32))


def rates(optimizers: Sequence[Optimizer]) -> dict[str, float]:
    """The learning rates of all groups of parameters.

    Args:
        optimizers: In the order in which they were made.

    Returns:
        ``train/lr``, the rate of the first group, and ``train/lr/K`` for each group K, counted
        from 0 over all optimizers, whose rate is another.

    Example:
        >>> weights, head = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
        >>> groups = [{"params": [weights]}, {"params": [head], "lr": 0.5}]
        >>> rates([torch.optim.SGD(groups, lr=0.1)])
        {'train/lr': 0.1, 'train/lr/1': 0.5}
    """
    found = [float(group["lr"]) for one in optimizers for group in one.param_groups]
    others = {f"train/lr/{k}": rate for k, rate in enumerate(found) if rate != found[0]}
    return {"train/lr": found[0]} | others if found else {}
