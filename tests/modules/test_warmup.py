from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from distill.modules import Warmup


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)


def cosine(made: torch.optim.Optimizer) -> LRScheduler:
    return CosineAnnealingLR(made, T_max=4)


def rates(schedule: LRScheduler, n: int) -> list[float]:
    found = []
    for _ in range(n):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def test_the_rate_rises_linearly_and_then_follows_the_schedule_from_its_start() -> None:
    found = rates(Warmup(optimizer(), 3, cosine, start=0.25), 8)
    assert found[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert found[3:] == pytest.approx(rates(cosine(optimizer()), 5))


def test_it_goes_on_from_its_state() -> None:
    whole, first, second = (Warmup(optimizer(), 3, cosine) for _ in range(3))
    expected = rates(whole, 8)
    begun = rates(first, 5)
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert begun + rates(second, 3) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 2.5}, "length must be a whole number, got 2.5"),
        ({"then": lambda o: Warmup(o, 2, cosine)}, "then must be a single schedule, got Warmup"),
        ({"start": 0.0}, "start must be above 0 and at most 1"),
        ({"then": ReduceLROnPlateau}, "does not support `ReduceLROnPlateau`"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Warmup(optimizer(), **({"length": 3, "then": cosine} | arguments))
