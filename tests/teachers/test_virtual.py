import math

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from distill.losses import KDLoss, SSLDLoss
from teachers import VirtualTeacher
from teachers.virtual import virtual_logits


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The distribution with logits log p, divided by the temperature."""
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum()


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_loss_is_that_of_the_papers_equations(temperature: float) -> None:
    logits, target = np.random.default_rng(0).normal(0, 2, (4, 5)), [3, 0, 4, 4]
    expected = 0.0
    for row, true in enumerate(target):
        teacher = np.array([0.95 if k == true else 0.05 / 4 for k in range(5)])
        p = softened(teacher, temperature)
        q = softened(np.exp(logits[row]) / np.exp(logits[row]).sum(), temperature)
        expected += temperature**2 * sum(p[k] * math.log(p[k] / q[k]) for k in range(5)) / 4
    loss = VirtualTeacher(KDLoss(temperature), correct=0.95)
    value = loss(torch.from_numpy(logits), torch.tensor(target))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_zero_for_a_student_that_predicts_what_the_virtual_teacher_does() -> None:
    target = torch.tensor([2, 0])
    loss = VirtualTeacher(SSLDLoss(), correct=0.9)
    assert loss(virtual_logits(target, 4, 0.9) + 7, target).abs() < 1e-6


def test_the_gradient_at_temperature_one_is_that_of_smoothed_labels() -> None:
    """Both are the student's distribution less the target distribution, over the batch size."""
    logits, target = torch.randn(3, 5, requires_grad=True), torch.tensor([0, 4, 2])
    (found,) = torch.autograd.grad(
        VirtualTeacher(KDLoss(1.0), correct=0.92)(logits, target), logits
    )
    smoothed = nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
    (expected,) = torch.autograd.grad(smoothed, logits)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("correct", [0.0, 1.0, 1.5])
def test_the_probability_must_be_one(correct: float) -> None:
    with pytest.raises(ValueError, match=rf"^correct must be between 0 and 1, got {correct}$"):
        VirtualTeacher(KDLoss(), correct)


@pytest.mark.parametrize(
    ("target", "classes", "message"),
    [
        (torch.zeros(2, 3), 3, r"^target needs one class number per image, got \(2, 3\)$"),
        (torch.zeros(2, dtype=torch.long), 1, r"^num_classes must be at least 2, got 1$"),
    ],
)
def test_what_does_not_fit_is_refused(target: torch.Tensor, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VirtualTeacher(KDLoss())(torch.zeros(2, classes), target)


def test_works_as_a_class_path() -> None:
    kd = {"class_path": "distill.losses.KDLoss", "init_args": {"temperature": 20.0}}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=nn.Module)
    spec = {"class_path": "teachers.VirtualTeacher", "init_args": {"loss": kd, "correct": 0.99}}
    loss = parser.instantiate(parser.parse_object({"loss": spec})).loss
    assert loss(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)) > 0
