import copy
from typing import Any

import torch
from torch import nn

from distill.modules.two_optimizers import TwoOptimizers
from tests.fixtures.runs import assert_same


def both() -> tuple[nn.Parameter, nn.Parameter, TwoOptimizers]:
    weight, alpha = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    weights = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    return weight, alpha, TwoOptimizers(weights, torch.optim.Adam([alpha], lr=0.01))


def steps(made: tuple[nn.Parameter, nn.Parameter, TwoOptimizers], count: int) -> None:
    weight, alpha, optimizer = made
    for number in range(count):
        for turn in ("architecture", "weights"):
            optimizer.zero_grad()
            optimizer.take_turn(turn)  # type: ignore[arg-type]
            ((weight * alpha.sum() + number) ** 2).sum().backward()
            optimizer.step()


def test_each_turn_moves_one_of_the_two_and_forgets_the_gradients_of_both() -> None:
    weight, alpha, optimizer = both()
    for turn, moves in (("architecture", alpha), ("weights", weight)):
        before = {id(one): one.detach().clone() for one in (weight, alpha)}
        optimizer.take_turn(turn)  # type: ignore[arg-type]
        (weight.sum() * alpha.sum()).backward()
        optimizer.step()
        changed = [one for one in (weight, alpha) if not torch.equal(one, before[id(one)])]
        assert [id(one) for one in changed] == [id(moves)]
        optimizer.zero_grad()
        assert weight.grad is None
        assert alpha.grad is None


def test_they_go_on_from_one_state() -> None:
    whole, again = both(), both()
    steps(whole, 5)
    steps(again, 3)
    state: dict[str, Any] = copy.deepcopy(again[2].state_dict())
    fresh = both()
    with torch.no_grad():
        for one, was in zip(fresh[:2], again[:2], strict=True):
            one.copy_(was)
    fresh[2].load_state_dict(state)
    for made in (again, fresh):
        weight, alpha, optimizer = made
        for number in (3, 4):
            for turn in ("architecture", "weights"):
                optimizer.zero_grad()
                optimizer.take_turn(turn)  # type: ignore[arg-type]
                ((weight * alpha.sum() + number) ** 2).sum().backward()
                optimizer.step()
        assert torch.equal(weight, whole[0])
        assert torch.equal(alpha, whole[1])
        assert_same(optimizer.state_dict(), whole[2].state_dict())


def test_a_schedule_changes_the_rate_of_the_weights_alone_also_after_loading() -> None:
    _, _, optimizer = both()
    optimizer.load_state_dict(optimizer.state_dict())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.weights.param_groups[0]["lr"] == 0.05
    assert optimizer.architecture.param_groups[0]["lr"] == 0.01
