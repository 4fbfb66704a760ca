import pytest
import torch
from torch import Tensor

from distill.core.errors import NonFiniteError
from distill.modules.finite import check_total

TERMS = {"ce": torch.tensor(float("nan")), "kd": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (None, ""),
        (torch.tensor([0, -100]), ""),
        (torch.tensor([[0.5, 0.5]]), ""),
        (torch.tensor([-100, -100]), ": no image of its batch has a label; "),
    ],
)
def test_a_batch_without_a_label_is_told_as_the_reason(target: Tensor | None, why: str) -> None:
    with pytest.raises(NonFiniteError) as caught:
        check_total(torch.tensor(float("nan")), TERMS, 7, target)
    told, _, reason = str(caught.value).partition(" at step 7")
    assert told == "train/loss/ce is not finite"
    assert reason.startswith(why)
    assert bool(reason) == bool(why)


def test_finite_values_pass() -> None:
    check_total(torch.tensor(1.0), {"kd": torch.tensor(1.0)}, 0, torch.tensor([-100]))
