import pytest
import pytorch_lightning as pl
from pytorch_lightning import callbacks

from distill.core.errors import RecipeError
from distill.runs.exact_callbacks import refuse_inexact

REFUSED = {
    "BackboneFinetuning": (callbacks.BackboneFinetuning(), "TrainOnly"),
    "BatchSizeFinder": (callbacks.BatchSizeFinder(), "data.batch_size"),
    "GradientAccumulationScheduler": (
        callbacks.GradientAccumulationScheduler({0: 2}),
        "trainer.accumulate_grad_batches",
    ),
    "LearningRateFinder": (callbacks.LearningRateFinder(), "distill tune"),
    "ModelPruning": (callbacks.ModelPruning("l1_unstructured"), "prune the finished run"),
    "StochasticWeightAveraging": (
        callbacks.StochasticWeightAveraging(0.1),
        "EMAWeightAveraging",
    ),
    "Timer by epochs": (callbacks.Timer("00:00:01:00", interval="epoch"), "interval to step"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_is_refused_by_name_with_what_to_do_instead(name: str) -> None:
    callback, instead = REFUSED[name]
    with pytest.raises(RecipeError, match=rf"^trainer.callbacks: {name}: .*{instead}"):
        refuse_inexact([pl.Callback(), callback])


def test_others_are_taken() -> None:
    refuse_inexact([callbacks.Timer("00:00:01:00"), callbacks.EMAWeightAveraging()])
