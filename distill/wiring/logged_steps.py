"""Which steps of training are logged."""

import pytorch_lightning as pl


def logs_this_step(trainer: pl.Trainer) -> bool:
    """Whether the step in progress is logged: every n-th is, none with ``log_every_n_steps: 0``."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and (trainer.global_step + 1) % every == 0
