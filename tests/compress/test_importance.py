"""Importances against loops."""

import pytest
import torch

from distill.compress.importance import Group, importance

TENSORS = {
    "a.weight": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
    "bn.weight": torch.tensor([1.0, -2.0, 3.0]),
    "b.weight": torch.randn(4, 6, generator=torch.Generator().manual_seed(1)),
}
SAME = torch.tensor([[0, 0], [1, 1], [2, 2]])
TWICE = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1], [4, 2], [5, 2]])
PLACES = {("a.weight", 0): SAME, ("bn.weight", 0): SAME, ("b.weight", 1): TWICE}
GROUP = Group("a", 3, PLACES, frozenset({"bn.weight"}))


def by_hand(criterion: str) -> list[float]:
    a, b = TENSORS["a.weight"].double().tolist(), TENSORS["b.weight"].double().tolist()
    rated = []
    for channel in range(3):
        read = [row[entry] for row in b for entry in (2 * channel, 2 * channel + 1)]
        if criterion == "bn":
            rated.append(abs(TENSORS["bn.weight"][channel].item()))
        elif criterion == "fpgm":
            pairs = [zip(a[channel], other, strict=True) for other in a]
            rated.append(sum(sum((x - y) ** 2 for x, y in pair) ** 0.5 for pair in pairs))
        else:
            rated.append(sum(abs(x) ** int(criterion[1]) for x in a[channel] + read))
    mean = sum(rated) / 3
    return [value / mean for value in rated]


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn", "fpgm"])
def test_a_loop_finds_the_same(criterion: str) -> None:
    expected = torch.tensor(by_hand(criterion), dtype=torch.float64)
    assert torch.allclose(importance(GROUP, TENSORS, criterion), expected, rtol=0, atol=1e-12)


def test_a_group_without_batch_norm_has_no_scales() -> None:
    with pytest.raises(ValueError, match="criterion bn: no batch norm scales the channels of a"):
        importance(Group("a", 3, PLACES, frozenset()), TENSORS, "bn")
