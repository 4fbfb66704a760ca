"""Proxies that need no training: what a network is worth before its first step.

Gradient norm and SynFlow (Tanaka et al., NeurIPS 2020, arXiv 2006.05467) as Abdelfattah et al. rank
networks by them (ICLR 2021, arXiv 2101.08134). Many do no better than counting operations, so a
proxy is always shown beside FLOPs.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn
from torch.optim import Optimizer

from distill.metrics.cost import dummy_image, flops
from distill.recipes import Recipe
from distill.runs.session import Session, quiet_lightning

Proxy = Literal["gradient_norm", "synflow", "flops"]
PROXIES: tuple[Proxy, ...] = get_args(Proxy)


class ZeroCost:
    """Scores a recipe's student without training it; more is taken to be better.

    ``gradient_norm`` is the sum over the student's parameters of the norm of their gradient, of the
    recipe's own terms and its first batch; ``synflow`` needs no data; ``flops`` is what both must
    beat.

    Args:
        proxy: What to score by.

    Raises:
        ValueError: If there is no such proxy.
    """

    def __init__(self, proxy: Proxy = "gradient_norm") -> None:
        if proxy not in PROXIES:
            raise ValueError(f"proxy must be one of {', '.join(PROXIES)}, got {proxy!r}")
        self.proxy = proxy

    def score(self, recipe: Recipe, folder: Path, trusted: Sequence[str] = ()) -> float:
        """The score; minus infinity where it is not finite.

        Args:
            recipe: The recipe.
            folder: Lightning's; nothing is written there.
            trusted: Further packages whose classes the recipe may name.
        """
        with isolate_rng(), quiet_lightning():
            session = Session(recipe, folder, trusted)
            session.set_up_data()
            if self.proxy == "gradient_norm":
                found = gradient_norm(session)
            else:
                student, image = session.model.student, session.data.example(1).image
                shape = tuple(image.shape[1:])
                count = synflow if self.proxy == "synflow" else _flops
                found = count(student, shape)
        return found if math.isfinite(found) else -math.inf


def gradient_norm(session: Session) -> float:
    """Sum of the norms of the gradients of a student's parameters, at its first step.

    Args:
        session: The recipe, its data set up; its student takes the step.
    """
    spy = _FirstGradient(session.model.student)
    trainer = session.bare_trainer(
        callbacks=[spy],
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=0,
        enable_progress_bar=False,
    )
    trainer.fit(session.module, session.datamodule)
    return spy.norm


def synflow(network: nn.Module, image: Sequence[int]) -> float:
    """Sum of theta dR/dtheta, where R sums the outputs for ones with absolute parameters.

    Computed in float64, batch norms in evaluation mode; the network ends as it was.

    Args:
        network: Maps images (b, c, h, w) to logits.
        image: Shape (c, h, w).
    """
    former = {name: value.clone() for name, value in network.state_dict().items()}
    training = network.training
    network.eval().double()
    parameters = [p for p in network.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    total = network(torch.ones(1, *image, dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    found = sum(float((p.detach() * g).sum()) for p, g in pairs if g is not None)
    network.float().train(training).load_state_dict(former)
    return found


class _FirstGradient(pl.Callback):
    """Reads the gradient of the first step and ends the fit."""

    def __init__(self, student: nn.Module) -> None:
        self._student = student
        self.norm = math.nan

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        gradients = (p.grad for p in self._student.parameters())
        self.norm = sum(float(g.norm()) for g in gradients if g is not None)


def _flops(network: nn.Module, image: Sequence[int]) -> float:
    return float(flops(network, dummy_image(tuple(image))))
