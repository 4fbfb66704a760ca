from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from distill.core.outputs import by_name, logits_of


class Heads(NamedTuple):
    """What a network with an auxiliary head gives in training."""

    logits: Tensor
    aux: Tensor | None


ONE, TWO = torch.zeros(2, 3), torch.ones(2, 3)


@pytest.mark.parametrize(
    ("outputs", "named"),
    [
        (ONE, {"logits": ONE}),
        ({"a": ONE, "b": TWO}, {"a": ONE, "b": TWO}),
        ([ONE, TWO], {"0": ONE, "1": TWO}),
        (Heads(ONE, TWO), {"logits": ONE, "aux": TWO}),
        (Heads(ONE, None), {"logits": ONE}),
    ],
)
def test_tensors_have_names(outputs: Any, named: dict[str, Tensor]) -> None:
    found = by_name(outputs)
    assert found.keys() == named.keys()
    assert all(found[name] is value for name, value in named.items())


def test_the_logits_of_a_named_tuple_are_found() -> None:
    assert logits_of(Heads(ONE, TWO)) is ONE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (3, "gives a int, not a tensor or tensors by name"),
        ({"a": 3}, "gives dict with a int a"),
        (Heads(ONE, 3), "gives Heads with a int aux"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_tensor_is_told_with_its_type(outputs: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        by_name(outputs)
