"""OverHaul's margins come from the teacher's batch norm also where it is being trained."""

import copy

import pytest
import torch
from torch import Tensor, nn

from distill.losses import OverhaulLoss, overhaul_margin
from distill.modules import MeanTeacher, MutualLearning, Term
from tests.fixtures.modules import CE, digits, trainer
from tests.fixtures.networks import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


class Watched(OverhaulLoss):
    """Remembers its margin at each training step, and the batch norm it came from."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.margins: list[Tensor] = []
        self.expected: list[Tensor] = []

    def use_teacher_batchnorm(self, batchnorm: nn.Module) -> None:
        super().use_teacher_batchnorm(batchnorm)
        weight, bias = batchnorm.weight.detach(), batchnorm.bias.detach()
        self.expected.append(overhaul_margin(bias, weight.abs()))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.training:
            self.margins.append(self.margin.flatten().clone())
        return super().forward(student, teacher)


def assert_follows(loss: Watched) -> None:
    assert len(loss.margins) == 4
    assert loss.margins[0].max() < 0
    # The first was read before training, in the dry run.
    for margin, expected in zip(loss.margins, loss.expected[1:], strict=True):
        assert torch.equal(margin, expected)
    assert not torch.equal(loss.margins[0], loss.margins[-1])


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
def test_between_peers(updates: str) -> None:
    inputs: dict[str, str | list[str]] = {"student": "student@bn", "teacher": "b@bn"}
    ce = Term(nn.CrossEntropyLoss(), inputs={"input": "peer.logits", "target": "batch.target"})
    losses = {"each": {"ce": ce}, "student": {"overhaul": Term(Watched(), 1e-3, inputs)}}
    module = MutualLearning(tiny(8), {"b": tiny(8)}, losses, updates)  # type: ignore[arg-type]
    trainer(limit_val_batches=0).fit(module, digits())
    loss = module.losses["student/overhaul"]
    assert isinstance(loss, Watched)
    if updates == "alternating":  # asked in both turns, evaluated in the student's
        loss.expected = [loss.expected[0], *loss.expected[1::2]]
    assert_follows(loss)


def test_of_the_student_s_average() -> None:
    inputs: dict[str, str | list[str]] = {"student": "student@bn", "teacher": "teacher@bn"}
    loss = Watched()
    student = copy.deepcopy(tiny(8))
    module = MeanTeacher(student, {"ce": CE, "overhaul": Term(loss, 1e-3, inputs)}, average=0.5)
    trainer(limit_val_batches=0).fit(module, digits())
    assert_follows(loss)
