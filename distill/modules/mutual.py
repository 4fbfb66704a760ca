"""Networks that teach each other: Zhang et al., Deep Mutual Learning, CVPR 2018, arXiv 1706.00384.

With terms between features beside those between predictions it is the U-DML of PP-OCRv2 (Du et
al., 2021, arXiv 2109.03144) and of PaddleClas.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.outputs import Outputs
from distill.modules.evaluation import Evaluation, LogFigures
from distill.modules.finite import FiniteWeights
from distill.modules.loaders import data_of
from distill.modules.networks import Networks, Normalization, dry, dry_run_batch
from distill.modules.objective import Objective
from distill.modules.optimization import Decay, Optimization, PlateauSteps
from distill.modules.parts import TrainedParts
from distill.modules.peers import (
    PLACEHOLDERS,
    STUDENT,
    Gradients,
    Turns,
    Updates,
    check_conventions,
    check_joint,
    check_known,
    check_names,
    network_key,
    objectives,
    peer_outputs,
)
from distill.wiring.loss_modules import LossModules
from distill.wiring.term import Term


class MutualLearning(pl.LightningModule):
    """Trains a student and its peers, each on its own weighted sum of terms.

    The student is a peer like the others; it is the one that a finished run hands on, whose figures
    have the plain names (``val/<figure>``) and choose the best checkpoint. It is named before
    training: the best of several peers, chosen by their figures, would look better than it is.
    Those of the others are logged as ``val/<figure>/<peer>``; all weights are saved in ``peers/``.

    Args:
        student: The network that the run hands on.
        peers: The other networks by name; none of them trains the student alone.
        losses: Terms by the peer that they train (``student``, a name of ``peers``, or ``each``),
            then by name. Inputs are named as in :class:`~distill.modules.Term`, by ``peer`` (the
            one that is trained), ``other`` (each of the others; the mean over them) or a peer's
            name: ``peer.logits``, ``other@layer3``, ``student@layer3``.
        updates: ``simultaneous``: one step for all peers from one pass, as most code does;
            ``alternating``: one peer after another, each seeing what the others give after their
            steps, as in the paper.
        gradients: Of a peer's terms with respect to what the others gave: ``constant``, none, as in
            the paper; ``joint``, whatever the loss passes on, with simultaneous updates only.
        optimizer: Makes the optimizer from the parameters of all peers and of the losses; None
            gives SGD with learning rate 0.05, momentum 0.9 and weight decay 5e-4.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        normalization: By peer, where it is not the network's own or else the data's.
        channels_last: Keep images and weights so; None: if ``precision: auto`` finds it faster.
        decay: What weight decay acts on: ``all``, or ``weights``, which spares norms and biases.
        trained_parts: By peer, the dotted paths of its modules that are trained; the rest of it
            stays as it is, in evaluation mode. An empty list makes the peer a frozen teacher.
        gradient_norms: ``PEER.logits`` or ``PEER@PATH``: where each term's gradient is measured.
        compile: Compile the training passes of all peers.

    Raises:
        ValueError: If a name or a convention is unknown, or a peer has no term.
        RecipeError: In ``setup``, if the terms do not fit the networks or the networks the data.
    """

    teacher = None

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        student: nn.Module,
        peers: dict[str, nn.Module],
        losses: dict[str, dict[str, Term]],
        updates: Updates = "simultaneous",
        gradients: Gradients = "constant",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        normalization: dict[str, Normalization] | None = None,
        channels_last: bool | None = None,
        decay: Decay = "all",
        trained_parts: dict[str, list[str]] | None = None,
        gradient_norms: str | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        check_names(list(peers))
        check_conventions(updates, gradients)
        self.student = student
        self.peers = nn.ModuleDict(peers)
        self.networks = Networks({STUDENT: student, **peers}, normalization, channels_last, compile)
        names = list(self.networks.by_name)
        check_known("normalization", self.networks.normalization, names)
        self._parts = TrainedParts(self.networks.by_name, trained_parts or {})
        terms = objectives(losses, names, self._parts.frozen, gradients)
        self.losses = LossModules({name: placed.term.loss for name, placed in terms.items()})
        learners = [name for name in names if name not in self._parts.frozen]
        self.objective = Objective(terms, learners, gradient_norms)
        self._joint = gradients == "joint"
        self._turns = Turns(learners, updates)
        self.evaluation = Evaluation(names)
        self._optimization = Optimization(optimizer, scheduler, scheduler_interval, decay)
        self.seed = 0

    @property
    def saved_networks(self) -> dict[str, nn.Module]:
        """What a finished run leaves beside the student, by file: all peers."""
        return {f"peers/{n}.safetensors": net for n, net in self.networks.by_name.items()}

    def configure_callbacks(self) -> list[pl.Callback]:
        """What watches over the weights that are saved."""
        return [LogFigures(self.evaluation), FiniteWeights(), PlateauSteps()]

    def forward(self, image: Tensor) -> Outputs:
        """The student's outputs for images (b, c, h, w), uint8 or in 0..1: logits (b, k)."""
        return self.networks.outputs(STUDENT, image)

    def train(self, mode: bool = True) -> "MutualLearning":
        """As everywhere, but for what is not trained."""
        super().train(mode)
        self._parts.set_modes(mode)
        return self

    def setup(self, stage: str) -> None:
        """Check networks, terms and data with two samples, before anything is trained."""
        data = data_of(self, stage)
        self.networks.set_up(data)
        self.evaluation.set_up(data)
        self.objective.unwire()
        if stage == "fit":
            self._turns.check(self.trainer)
            self.objective.wire(self.networks, data, placeholders=PLACEHOLDERS)
            self._optimization.check()
        with dry(self):
            batch = dry_run_batch(data, self.device)
            self.objective.dry_run(batch, self.networks.dry_run(batch, data, network_key))
            if stage == "fit" and self._joint:
                outputs = self.networks.dry_run(batch, data, network_key)
                check_joint(self.objective, batch, outputs)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """The optimizer, and a schedule that steps before that step's checkpoint is saved."""
        return self._optimization.configure(self)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,  # noqa: ANN401 - Lightning's wrapper of it
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One update per turn; the closure runs :meth:`training_step` and its backward pass."""
        for _ in self._turns:
            optimizer.step(closure=optimizer_closure)

    def training_step(self, given: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """All peers see the same view; the weighted terms of those whose turn it is are summed."""
        batch = self.evaluation.batch(self, given)
        outputs = peer_outputs(self, self.networks, batch, self._turns.learners, self.seed)
        context = self.objective.wiring.context(batch, outputs)
        self.objective.read_batch_norms()
        values = self.objective.wiring.evaluate(context, self._turns.due(self.objective.terms))
        weighted = self.objective.weigh(self, values, context)
        self._turns.log(self, weighted)
        return torch.stack(list(weighted.values())).sum()

    def outputs_of(self, network: str, batch: Batch) -> Outputs:
        """A network's outputs for images as they are."""
        outputs = self.networks.outputs(network, batch.image)
        self.objective.clear()
        return outputs

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Figures and loss of every peer, see :class:`~distill.modules.evaluation.Evaluation`."""
        self.evaluation.step(self, "val", batch, self.outputs_of)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation, on the test images."""
        self.evaluation.step(self, "test", batch, self.outputs_of)
