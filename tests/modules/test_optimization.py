from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from distill.core.errors import RecipeError
from distill.data import Digits
from distill.modules.optimization import Optimization
from tests.fixtures.networks import tiny


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, weight_decay=0.5)


def halve(optimizer: torch.optim.Optimizer) -> StepLR:
    return StepLR(optimizer, step_size=1, gamma=0.5)


def owner(*parameters: nn.Parameter, batches: int = 7) -> Any:
    """A module with these parameters, whose epochs have so many batches."""
    module = pl.LightningModule()
    module.weights = nn.ParameterList(parameters)
    datamodule: Any = Digits()
    datamodule.train_dataloader = lambda: range(batches)
    module._trainer = SimpleNamespace(datamodule=datamodule)
    return module


def test_norms_and_biases_are_spared_and_everything_is_trained() -> None:
    network = tiny(8)
    parameters = dict(network.named_parameters())
    made = Optimization(sgd, None, decay="weights").configure(owner(*parameters.values()))
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    found = {name: decays[id(parameter)] for name, parameter in parameters.items()}
    weights = ("conv.weight", "fc.weight")
    assert found == {name: 0.5 if name in weights else 0.0 for name in parameters}


def test_by_default_everything_decays() -> None:
    made = Optimization(sgd, None).configure(owner(*tiny(8).parameters()))
    assert [group["weight_decay"] for group in made.param_groups] == [0.5]


def test_a_network_of_kernels_alone_has_nothing_to_spare() -> None:
    kernel = nn.Parameter(torch.ones(2, 2))
    made = Optimization(sgd, None, decay="weights").configure(owner(kernel))
    kernel.grad = torch.zeros(2, 2)
    made.step()  # weight decay alone moves it: 1 - 0.1 * 0.5
    assert torch.equal(kernel.detach(), torch.full((2, 2), 0.95))


@pytest.mark.parametrize(("interval", "every"), [("epoch", 7), ("step", 1)])
def test_a_schedule_steps_every_so_many_batches(interval: Any, every: int) -> None:
    made = Optimization(sgd, halve, interval).configure(owner(*tiny(8).parameters()))
    config = made["lr_scheduler"]
    assert (config["interval"], config["frequency"]) == ("step", every)
    assert isinstance(config["scheduler"], StepLR)


def test_a_plateau_is_watched_epoch_by_epoch() -> None:
    made = Optimization(sgd, ReduceLROnPlateau).configure(owner(*tiny(8).parameters()))
    assert made["lr_scheduler"]["monitor"] == "val/loss"
    assert "interval" not in made["lr_scheduler"]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="decay must be all or weights, got 'some'"):
        Optimization(sgd, None, decay="some")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"model\.scheduler: "):
        Optimization(sgd, lambda optimizer: ReduceLROnPlateau(optimizer, factor=2.0)).check()
    with pytest.raises(RecipeError, match=r"model\.optimizer: Invalid learning rate"):
        Optimization(lambda p: torch.optim.SGD(p, lr=-1.0), None).check()


def test_what_does_not_take_two_groups_is_refused_before_training() -> None:
    with pytest.raises(RecipeError, match=r"model\.optimizer: LBFGS doesn't support"):
        Optimization(torch.optim.LBFGS, None, decay="weights").check()
    two = partial(OneCycleLR, max_lr=[0.1, 0.2], total_steps=9)
    Optimization(sgd, two, decay="weights").check()
    with pytest.raises(RecipeError, match=r"model\.scheduler: "):
        Optimization(sgd, two).check()
