from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from distill.core.errors import RecipeError
from distill.modules.optimization import Optimization
from tests.networks import tiny


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, weight_decay=0.5)


def halve(optimizer: torch.optim.Optimizer) -> StepLR:
    return StepLR(optimizer, step_size=1, gamma=0.5)


def test_norms_and_biases_are_spared_and_everything_is_trained() -> None:
    network = tiny(8)
    parameters = dict(network.named_parameters())
    made = Optimization(sgd, None, "weights").configure(list(parameters.values()), 1)
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    found = {name: decays[id(parameter)] for name, parameter in parameters.items()}
    weights = ("conv.weight", "fc.weight")
    assert found == {name: 0.5 if name in weights else 0.0 for name in parameters}


def test_by_default_everything_decays() -> None:
    made = Optimization(sgd, None).configure(list(tiny(8).parameters()), 1)
    assert [group["weight_decay"] for group in made.param_groups] == [0.5]


def test_a_network_of_kernels_alone_has_nothing_to_spare() -> None:
    made = Optimization(sgd, None, "weights").configure([nn.Parameter(torch.ones(2, 2))], 1)
    made.step()


def test_a_schedule_steps_every_so_many_batches() -> None:
    made = Optimization(sgd, halve).configure(list(tiny(8).parameters()), 7)
    config = made["lr_scheduler"]
    assert (config["interval"], config["frequency"]) == ("step", 7)
    assert isinstance(config["scheduler"], StepLR)


def test_a_plateau_is_watched_epoch_by_epoch() -> None:
    made = Optimization(sgd, ReduceLROnPlateau).configure(list(tiny(8).parameters()), 7)
    assert made["lr_scheduler"]["monitor"] == "val/loss"
    assert "interval" not in made["lr_scheduler"]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="decay must be all or weights, got 'some'"):
        Optimization(sgd, None, "some")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"model\.scheduler: "):
        Optimization(sgd, lambda optimizer: ReduceLROnPlateau(optimizer, factor=2.0)).check()
    with pytest.raises(RecipeError, match=r"model\.optimizer: Invalid learning rate"):
        Optimization(lambda p: torch.optim.SGD(p, lr=-1.0), None).check()


def test_what_does_not_take_two_groups_is_refused_before_training() -> None:
    with pytest.raises(RecipeError, match=r"model\.optimizer: LBFGS doesn't support"):
        Optimization(torch.optim.LBFGS, None, "weights").check()
    two = partial(OneCycleLR, max_lr=[0.1, 0.2], total_steps=9)
    Optimization(sgd, two, "weights").check()
    with pytest.raises(RecipeError, match=r"model\.scheduler: "):
        Optimization(sgd, two).check()
