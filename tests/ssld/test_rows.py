from typing import Any

import pytest
import torch

from distill.losses import KDLoss, SSLDLoss
from distill.ssld import OnRows

TARGET = torch.tensor([2, -100, 0, -100, -100])


def logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)


@pytest.mark.parametrize(("rows", "seen"), [("labelled", [0, 2]), ("unlabelled", [1, 3, 4])])
@pytest.mark.parametrize("loss", [KDLoss(), SSLDLoss()])
def test_the_loss_sees_these_rows_alone(loss: torch.nn.Module, rows: str, seen: list[int]) -> None:
    student, teacher = logits()
    student.requires_grad_()
    value = OnRows(loss, rows)(student, teacher, TARGET)
    assert torch.equal(value, loss(student[seen], teacher[seen]))
    (gradient,) = torch.autograd.grad(value, student)
    others = [row for row in range(5) if row not in seen]
    assert torch.all(gradient[others] == 0)
    assert torch.all(gradient[seen].abs().sum(1) > 0)


@pytest.mark.parametrize(("rows", "klass"), [("labelled", -100), ("unlabelled", 1)])
@pytest.mark.parametrize("loss", [KDLoss(), SSLDLoss()])
def test_a_batch_without_such_rows_is_a_zero_with_a_gradient(
    loss: torch.nn.Module, rows: Any, klass: int
) -> None:
    student, teacher = logits()
    student.requires_grad_()
    value = OnRows(loss, rows)(student, teacher, torch.full((5,), klass))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert (student.grad == 0).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rows must be labelled or unlabelled, got 'all'"):
        OnRows(KDLoss(), "all")
    with pytest.raises(ValueError, match=r"one class number per image, got \(5, 3\)"):
        OnRows(KDLoss(), "labelled")(*logits(), torch.zeros(5, 3))
