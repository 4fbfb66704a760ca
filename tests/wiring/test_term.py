import pytest
import torch
from torch import Tensor, nn

from distill.modules import Term
from distill.wiring.term import check_arguments


class Optional(nn.Module):
    def forward(self, student: Tensor, weight: float = 1.0) -> Tensor:
        return student.mean() * weight


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_must_be_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be finite and at least 0"):
        Term(nn.MSELoss(), weight=weight)


def test_the_default_weight_is_one() -> None:
    assert Term(nn.MSELoss()).weight == 1.0


@pytest.mark.parametrize(
    ("warmup", "weights"), [(0, [3.0, 3.0, 3.0]), (1, [3.0, 3.0, 3.0]), (3, [1.0, 2.0, 3.0])]
)
def test_a_weight_rises_over_the_epochs_of_its_warm_up(warmup: int, weights: list[float]) -> None:
    term = Term(nn.MSELoss(), weight=3.0, warmup_epochs=warmup)
    assert [term.weight_in(epoch) for epoch in range(3)] == weights
    assert term.weight_in(100) == 3.0


def test_a_negative_warm_up_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup_epochs must be at least 0, got -1"):
        Term(nn.MSELoss(), warmup_epochs=-1)


def test_sources_lists_single_keys_and_lists_of_keys() -> None:
    term = Term(nn.MSELoss(), inputs={"input": ["student@a", "student@b"], "target": "teacher@c"})
    assert term.sources() == ["student@a", "student@b", "teacher@c"]


def test_optional_arguments_may_be_left_out() -> None:
    check_arguments(Term(Optional(), inputs={"student": "student.logits"}))


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ValueError, match="MSELoss needs its argument 'target'"):
        check_arguments(Term(nn.MSELoss(), inputs={"input": "student.logits"}))


def test_an_unknown_argument_is_named_with_the_nearest() -> None:
    inputs: dict[str, str | list[str]] = {"inptu": "student.logits", "target": "batch.target"}
    with pytest.raises(ValueError, match="no argument 'inptu', did you mean 'input'"):
        check_arguments(Term(nn.MSELoss(), inputs=inputs))


def test_a_term_keeps_the_loss_it_was_given() -> None:
    loss = nn.MSELoss()
    assert Term(loss).loss(torch.zeros(2), torch.ones(2)) == 1
    assert Term(loss).loss is loss
