"""Callbacks of Lightning with which a stopped run would not go on to the same weights."""

from collections.abc import Iterable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    Timer,
)

from distill.core.errors import RecipeError

_INSTEAD: dict[type[pl.Callback], str] = {
    StochasticWeightAveraging: "use pytorch_lightning.callbacks.EMAWeightAveraging",
    GradientAccumulationScheduler: "set trainer.accumulate_grad_batches",
    ModelPruning: "prune the finished run's weights",
    BaseFinetuning: "use distill.callbacks.TrainOnly, in stages",
    BatchSizeFinder: "set data.batch_size",
    LearningRateFinder: "use distill tune",
}


def refuse_inexact(callbacks: Iterable[pl.Callback]) -> None:
    """Refuse callbacks that act at an epoch's start or end on what no checkpoint holds.

    Args:
        callbacks: Those of a recipe.

    Raises:
        RecipeError: For the first such one, with what to do instead.
    """
    for callback in callbacks:
        name = type(callback).__name__
        told = [instead for kind, instead in _INSTEAD.items() if isinstance(callback, kind)]
        if isinstance(callback, Timer) and callback._interval != "step":
            name, told = f"{name} by epochs", ["set its interval to step"]
        if told:
            message = f"{name}: a stopped run would not go on to the same weights; {told[0]}"
            raise RecipeError("trainer.callbacks", message)
