"""Parameters that the objective does not reach, which several processes must know of."""

from collections.abc import Mapping
from typing import Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn

from distill.core.batch import Batch
from distill.modules.networks import Networks
from distill.modules.objective import Objective

_ASKED = "find_unused_parameters"


class Trains(Protocol):
    """A module that trains a student on terms."""

    networks: Networks
    objective: Objective


def allow_unused(module: pl.LightningModule, batch: Batch) -> None:
    """Have Lightning's DDP look for parameters without a gradient, if there are any.

    It waits for the gradients of all parameters, and ends a run in which one has none, as that of a
    head that no term reads. A recipe that says itself whether to look has the last word.

    Args:
        module: Wired, in evaluation mode, before the strategy wraps it.
        batch: Some samples.
    """
    trainer = module.trainer
    if not isinstance(trainer, pl.Trainer) or trainer.state.fn != TrainerFn.FITTING:
        return
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and _ASKED not in strategy._ddp_kwargs:
        trains = cast(Trains, module)
        trains.objective.unreached = without_gradient(trains, module, batch)
        strategy._ddp_kwargs |= {_ASKED: True} if trains.objective.unreached else {}


def without_gradient(trains: Trains, module: nn.Module, batch: Batch) -> list[str]:
    """The names of the parameters that the weighted sum of the terms does not depend on.

    Args:
        trains: The networks and the wired terms.
        module: Whose parameters they are.
        batch: Some samples.
    """
    networks, wiring = trains.networks, trains.objective.wiring
    known: Mapping[str, torch.Tensor] = {}
    if wiring.keys_of("teacher"):
        with torch.no_grad():
            known = wiring.outputs_of("teacher", networks.outputs("teacher", batch.image))
    named = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    with torch.enable_grad():
        outputs = {"student": networks.outputs("student", batch.image)}
        values = wiring.evaluate(wiring.context(batch, outputs, known))
        total = torch.stack(list(values.values())).sum()
        found = torch.autograd.grad(total, [each for _, each in named], allow_unused=True)
    return [name for (name, _), gradient in zip(named, found, strict=True) if gradient is None]
