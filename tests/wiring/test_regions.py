"""Rows of dense tensors: keys with regions, regions of nothing, and what they cannot do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.losses import DKDLoss, FocalLoss, KDLoss
from distill.tasks import Segmentation
from distill.wiring.keys import Sources
from distill.wiring.term import PlacedTerm, Term
from distill.wiring.wiring import Wiring

TASK = Segmentation()
SOURCES = Sources(("student", "teacher"), TASK.outputs, TASK.sources, places=TASK)


def batch(mask: Tensor) -> Batch:
    n = len(mask)
    return Batch(torch.zeros(n, 1, 4, 4), torch.full((n,), -100), torch.arange(n), 0, mask=mask)


def value(loss: nn.Module, inputs: dict[str, Any], mask: Tensor, **outputs: Tensor) -> Tensor:
    terms = {"one": PlacedTerm("model.losses.one", Term(loss, inputs=inputs))}
    wiring = Wiring(terms, {"student": nn.Identity(), "teacher": nn.Identity()}, SOURCES)
    return wiring.evaluate(wiring.context(batch(mask), outputs))["one"]


KNOWN = {"student": "student.logits[known]", "teacher": "teacher.logits[known]"}
LABELS = {"input": "student.logits[known]", "target": "batch.mask[known]"}
CASES = [
    (KDLoss(), KNOWN),
    (nn.CrossEntropyLoss(), LABELS),
    (FocalLoss(), LABELS),
    (DKDLoss(), KNOWN | {"target": "batch.mask[known]"}),
    (nn.SmoothL1Loss(), {"input": "student.logits[known]", "target": "teacher.logits[known]"}),
]


@pytest.mark.parametrize(("loss", "inputs"), CASES)
def test_rows_of_a_region_are_those_of_a_loop(loss: nn.Module, inputs: dict[str, str]) -> None:
    draws = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 5, 4, 4, generator=draws) for _ in range(2))
    mask = torch.randint(0, 5, (3, 4, 4), generator=draws, dtype=torch.uint8)
    mask[0, 1:, :] = 255
    at = [(b, y, x) for b in range(3) for y in range(4) for x in range(4) if mask[b, y, x] != 255]
    tensors = {
        "student.logits[known]": torch.stack([student[b, :, y, x] for b, y, x in at]),
        "teacher.logits[known]": torch.stack([teacher[b, :, y, x] for b, y, x in at]),
        "batch.mask[known]": torch.tensor([int(mask[place]) for place in at]),
    }
    expected = loss(**{name: tensors[key] for name, key in inputs.items()})
    found = value(loss, inputs, mask, student=student, teacher=teacher)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("loss", "inputs"), CASES)
def test_a_region_of_nothing_gives_0_with_a_gradient_of_0(
    loss: nn.Module, inputs: dict[str, str]
) -> None:
    student = torch.randn(2, 5, 4, 4, requires_grad=True)
    nothing = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    found = value(loss, inputs, nothing, student=student, teacher=torch.randn(2, 5, 4, 4))
    found.backward()
    assert found.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_a_loss_with_weights_takes_a_gradient_of_0_too() -> None:
    loss, inputs = nn.Bilinear(5, 5, 1), {"input1": "student.logits[known]"}
    inputs["input2"] = "teacher.logits[known]"
    nothing = torch.full((1, 4, 4), 255)
    tensors = {name: torch.randn(1, 5, 4, 4) for name in ("student", "teacher")}
    value(loss, inputs, nothing, **tensors).backward()
    assert loss.weight.grad is not None
    assert not loss.weight.grad.any()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input": "student.logits[knwn]"}, r"unknown region in .*, did you mean 'known'\?"),
        ({"input": "student.logit[known]"}, r"unknown source 'student.logit'"),
        ({"input": "student@0[known]"}, r"student: no layer '0'"),
    ],
)
def test_a_wrong_region_is_told_with_the_nearest_name(inputs: dict[str, str], message: str) -> None:
    terms = {"one": PlacedTerm("model.losses.one", Term(nn.ReLU(), inputs=inputs))}
    with pytest.raises(RecipeError, match=rf"^model\.losses\.one\.inputs: {message}"):
        Wiring(terms, {"student": nn.Identity(), "teacher": nn.Identity()}, SOURCES)


def test_a_task_without_regions_says_so() -> None:
    with pytest.raises(ValueError, match=r"'student.logits\[known\]': .* task has no regions"):
        Sources(("student",)).read("student.logits[known]")


def test_regions_are_not_gathered() -> None:
    term = Term(nn.ReLU(), inputs={"input": "student.logits[known]"}, batch="gathered")
    placed = {"one": PlacedTerm("model.losses.one", term)}
    with pytest.raises(RecipeError, match=r"^model\.losses\.one\.batch: gathered needs as many"):
        Wiring(placed, {"student": nn.Identity()}, SOURCES)


def test_maps_of_another_size_have_no_rows_of_a_mask() -> None:
    small = torch.zeros(1, 5, 2, 2)
    with pytest.raises(ValueError, match=r"a mask \(1, 4, 4\) and a tensor \(1, 5, 2, 2\)"):
        value(nn.ReLU(), {"input": "student.logits[known]"}, torch.zeros(1, 4, 4), student=small)
