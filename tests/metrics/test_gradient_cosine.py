import numpy as np
import pytest
import torch

from distill.metrics import gradient_cosines


def test_cosines_over_all_parameters_are_those_of_the_joined_gradients() -> None:
    first = torch.tensor([1.0, -2.0], requires_grad=True)
    second = torch.tensor([[0.5]], requires_grad=True)
    values = {
        "task": first.square().sum() + 3 * second.sum(),  # gradient (2, -4, 3)
        "other": 5 * first[0] * second.squeeze(),  # gradient (2.5, 0, 5)
    }
    task, other = np.array([2.0, -4.0, 3.0]), np.array([2.5, 0.0, 5.0])
    expected = task @ other / np.linalg.norm(task) / np.linalg.norm(other)
    found = gradient_cosines(values, "task", [first, second])
    assert found["other"].item() == pytest.approx(expected, abs=1e-6)


def test_same_and_opposite_and_none() -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    values = {
        "task": weight.sum(),
        "same": 7 * weight.sum(),
        "opposite": -weight.sum(),
        "constant": torch.tensor(2.0),
        "elsewhere": torch.ones(1, requires_grad=True).sum(),
    }
    found = {k: v.item() for k, v in gradient_cosines(values, "task", [weight]).items()}
    expected = {"same": 1, "opposite": -1, "constant": 0, "elsewhere": 0}
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_graph_is_kept_and_no_gradient_is_left_behind() -> None:
    weight = torch.ones(2, requires_grad=True)
    values = {"task": weight.sum(), "other": weight[0]}
    gradient_cosines(values, "task", [weight])
    assert weight.grad is None
    values["task"].backward()
    assert weight.grad.tolist() == [1, 1]


def test_the_task_must_be_one_of_the_values() -> None:
    with pytest.raises(ValueError, match="task must be one of ce, kd, got 'cee'"):
        gradient_cosines({"ce": torch.ones(()), "kd": torch.ones(())}, "cee", [])
