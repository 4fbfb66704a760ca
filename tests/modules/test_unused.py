"""Parameters that get no gradient are known before the first step."""

from typing import Any

import pytest
import pytorch_lightning as pl
from torch import nn

from distill.losses import HintLoss
from distill.modules import Distillation, Term
from distill.modules.unused import without_gradient
from tests.fixtures.modules import CE, KD, digits, trainer
from tests.fixtures.networks import Spare, tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
HINT = Term(HintLoss(8, 12), inputs={"student": "student@relu", "teacher": "teacher@relu"})


class Compare(pl.Callback):
    """What is found before training, and what the first step leaves without a gradient."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.left: list[str] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        batch = trainer.datamodule.on_after_batch_transfer(trainer.datamodule.example(2), 0)
        self.found = without_gradient(pl_module, pl_module, batch)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        named = pl_module.named_parameters()
        self.left = [name for name, each in named if each.grad is None]


@pytest.mark.parametrize(
    ("student", "losses", "count"),
    [
        (tiny, {"ce": CE, "kd": KD}, 0),
        (Spare, {"ce": CE, "kd": KD}, 2),
        (tiny, {"hint": HINT}, 2),
        (tiny, {"hint": HINT, "ce": CE}, 0),
    ],
    ids=["all", "a spare head", "below the last layer", "with its connector"],
)
def test_what_is_found_is_what_the_first_step_leaves_without_a_gradient(
    student: Any, losses: dict[str, Term], count: int
) -> None:
    compare = Compare()
    module = Distillation(tiny(12), student(), losses)
    assert isinstance(module.student, nn.Module)
    trainer(callbacks=[compare], max_steps=1).fit(module, digits())
    assert compare.found == compare.left
    assert len(compare.found) == count


def test_what_gets_no_gradient_is_told_in_one_line() -> None:
    objective = Distillation(None, Spare(), {"ce": CE}).objective
    assert objective.notes() == []
    objective.unreached = ["student.spare.weight", "student.spare.bias"]
    told = "student.spare.weight gets no gradient, of 2 parameters"
    assert objective.notes() == [f"note     ddp_find_unused_parameters_true: {told}"]
