"""Networks that teach each other: Zhang et al., Deep Mutual Learning, CVPR 2018, arXiv 1706.00384.

With terms between features beside those between predictions it is the U-DML of PP-OCRv2 (Du et
al., 2021, arXiv 2109.03144) and of PaddleClas.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.randomness import global_seed, reseed
from distill.modules.batch_norms import statistics_kept
from distill.modules.finite import check_total, check_weights
from distill.modules.image_data import ImageData, fitting_logits, own_normalization, two_views
from distill.modules.leave import leave_weights
from distill.modules.normalization import Normalization
from distill.modules.optimization import Decay, Optimization
from distill.modules.parts import TrainedParts
from distill.modules.peer_terms import check_conventions, check_known, check_names, objectives
from distill.modules.peer_wiring import Gradients, PeerWiring, check_alternation
from distill.modules.scoring import accuracy_on, label_loss
from distill.wiring.loss_modules import LossModules
from distill.wiring.term import Term

_STUDENT = "student"


class MutualLearning(pl.LightningModule):
    """Trains a student and its peers, each on its own weighted sum of terms.

    The student is a peer like the others; it is the one that a finished run hands on, whose
    accuracy is ``val/top1`` and chooses the best checkpoint. It is named before training: the best
    of several peers, chosen by their accuracies, would look better than it is. Those of the others
    are logged as ``val/top1/<peer>``, and all weights are saved under ``peers/``.

    Args:
        student: The network that the run hands on.
        peers: The other networks by name; none of them trains the student alone.
        losses: Terms by the peer that they train (``student``, a name of ``peers``, or ``each``),
            then by name. Inputs are named as in :class:`~distill.modules.Term`, by ``peer`` (the
            one that is trained), ``other`` (each of the others; the mean over them) or a peer's
            name: ``peer.logits``, ``other@layer3``, ``student@layer3``.
        updates: ``simultaneous``: one step for all peers from one pass, as most code does;
            ``alternating``: one peer after another, each seeing what the others say after their
            steps, as in the paper.
        gradients: Of a peer's terms with respect to what the others gave: ``constant``, none, as in
            the paper; ``joint``, whatever the loss passes on, with simultaneous updates only.
        optimizer: Makes the optimizer from the parameters of all peers and of the losses; None
            gives SGD with learning rate 0.05, momentum 0.9 and weight decay 5e-4.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        normalization: By peer, where it should not be the network's own ``input_normalization`` or
            else the data's.
        channels_last: Keep images and all weights in channels-last layout.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``, which
            spares norms and biases.
        trained_parts: By peer, the dotted paths of its modules that are trained; the rest of it
            stays as it is, in evaluation mode. An empty list makes the peer a frozen teacher,
            without terms of its own. A peer that is not named is trained whole.

    Raises:
        ValueError: If a name or a convention is unknown, or a peer has no term.
        RecipeError: In ``setup``, if the terms do not fit the networks or the networks the data.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        student: nn.Module,
        peers: dict[str, nn.Module],
        losses: dict[str, dict[str, Term]],
        updates: Literal["simultaneous", "alternating"] = "simultaneous",
        gradients: Gradients = "constant",
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        normalization: dict[str, Normalization] | None = None,
        channels_last: bool = False,
        decay: Decay = "all",
        trained_parts: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__()
        check_names(list(peers))
        check_conventions(updates, gradients)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.student = student.to(memory_format=self._format)
        self.peers = nn.ModuleDict({n: p.to(memory_format=self._format) for n, p in peers.items()})
        self._parts = TrainedParts(self.networks, trained_parts or {})
        self._objectives = objectives(losses, list(self.networks), self._parts.frozen)
        self.terms = {
            f"{peer}/{name}": term.term
            for peer, terms in self._objectives.items()
            for name, term in terms.items()
        }
        self.losses = LossModules({name: term.loss for name, term in self.terms.items()})
        self._gradients: Gradients = gradients
        # Which peers a pass trains: all, or the one whose turn it is.
        names = list(self._objectives)
        self._turns = [names] if updates == "simultaneous" else [[name] for name in names]
        self._turn = 0
        self._told: dict[str, Tensor] = {}
        self._optimization = Optimization(optimizer, scheduler, decay)
        self._interval = scheduler_interval
        self.normalization = dict(normalization or {})
        check_known("normalization", self.normalization, self.networks)
        self._wirings: dict[str, PeerWiring] = {}
        self.accuracies = nn.ModuleDict()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.teacher_top1: dict[str, float] = {}

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All peers by name, the student first."""
        return {_STUDENT: self.student, **dict(self.peers.items())}

    @property
    def teacher(self) -> None:
        """There is none."""
        return

    def forward(self, image: Tensor) -> Tensor:
        """The student's logits (b, k) for images (b, c, h, w), uint8 or in 0..1."""
        return self._logits(_STUDENT, image)

    def train(self, mode: bool = True) -> "MutualLearning":
        """As everywhere, but for what is not trained."""
        super().train(mode)
        self._parts.set_modes(mode)
        return self

    def setup(self, stage: str) -> None:
        """Check the wiring with two samples, before anything is trained."""
        data = cast(ImageData, self.trainer.datamodule)  # type: ignore[attr-defined]
        for name, network in self.networks.items():
            self.normalization.setdefault(name, own_normalization(network, data))
            self.accuracies[name] = accuracy_on(data)
        for wiring in self._wirings.values():
            wiring.remove()
        self._wirings = {}
        if stage == "fit":
            if len(self._turns) > 1:
                check_alternation(self.trainer, self._several)
            self._wirings = {
                name: PeerWiring(name, self.networks, terms, self._gradients)
                for name, terms in self._objectives.items()
            }
            self._optimization.check()
        self._dry_pass(data)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """The optimizer, and a schedule that steps before that step's checkpoint is saved."""
        epoch = len(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        parameters = [p for p in self.parameters() if p.requires_grad]
        return self._optimization.configure(parameters, epoch if self._interval == "epoch" else 1)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,  # noqa: ANN401 - Lightning's wrapper of it
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One update per turn; parameters without a gradient, the other peers', stay as they are.

        The closure runs :meth:`training_step` and its backward pass.
        """
        for turn in range(len(self._turns)):
            self._turn = turn
            optimizer.step(closure=optimizer_closure)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """All peers see the same view; the weighted terms of those whose turn it is are summed."""
        learners = self._turns[self._turn]
        logits = self._training_logits(batch, learners)
        values: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        for peer in learners:
            own = self._wirings[peer].evaluate(batch, logits[peer])
            values |= {f"{peer}/{name}": value for name, value in own.items()}
            parts = [self.terms[f"{peer}/{name}"].weight * value for name, value in own.items()]
            self._told[peer] = torch.stack(parts).sum().detach()
            weighted += parts
        for wiring in self._wirings.values():
            wiring.forget()
        total = torch.stack(weighted).sum()
        check_total(total, values, self.global_step)
        told = {f"train/loss/{name}": value.detach() for name, value in values.items()}
        told |= {f"train/loss/{peer}": self._told[peer] for peer in learners}
        self.log_dict(told, sync_dist=self._several)
        whole = torch.stack(list(self._told.values())).sum()
        self.log("train/loss", whole, prog_bar=True, sync_dist=self._several)
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy of every peer, and its loss on the labels."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation, on the test images."""
        self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Top-1 accuracies in percent."""
        self._log_top1("val")

    def on_test_epoch_end(self) -> None:
        """Top-1 accuracies in percent."""
        self._log_top1("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite."""
        check_weights(checkpoint["state_dict"], self.global_step)

    def on_fit_end(self) -> None:
        """Write the weights of every peer to ``peers/<name>.safetensors``, where runs are kept."""
        files = {f"peers/{name}.safetensors": network for name, network in self.networks.items()}
        leave_weights(self.trainer, files)

    @property
    def _several(self) -> bool:
        return self.trainer.world_size > 1

    def _logits(self, name: str, image: Tensor) -> Tensor:
        normalized = self.normalization[name](image).to(self.dtype)
        logits: Tensor = self.networks[name](normalized.contiguous(memory_format=self._format))
        return logits

    def _training_logits(self, batch: Batch, learners: list[str]) -> dict[str, Tensor]:
        """Every peer's logits; those of peers that are not learning are constants of this pass.

        The student comes last and draws as it would alone, whatever peers there are.
        """
        logits = {}
        # Each process has its own dropout; a single one draws as it would without others.
        rank = [self.global_rank] if self.global_rank else []
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        for name in reversed(self.networks):
            reseed(global_seed(), "step", step, *rank, *([] if name == _STUDENT else [name]))
            if name in learners:
                logits[name] = self._logits(name, batch.image)
            else:
                with torch.no_grad(), statistics_kept(self.networks[name]):
                    logits[name] = self._logits(name, batch.image)
        return logits

    def _dry_pass(self, data: ImageData) -> None:
        batch = two_views(data, self.device)
        self.eval()
        with torch.no_grad():
            logits = self._dry_logits(batch, data)
            for name, wiring in self._wirings.items():
                self.shapes |= wiring.dry_pass(batch, logits[name])
            if self._wirings and self._gradients == "joint":
                logits = self._dry_logits(batch, data)
                if not any(w.reaches_others(batch, logits[n]) for n, w in self._wirings.items()):
                    told = "joint, but every loss takes what the other peers gave as constant"
                    raise RecipeError("model.gradients", told)
        self.train()

    def _dry_logits(self, batch: Batch, data: ImageData) -> dict[str, Tensor]:
        logits = {}
        for name, network in self.networks.items():
            key = f"model.{name}" if name == _STUDENT else f"model.peers.{name}"
            logits_of = partial(self._logits, name)
            logits[name] = fitting_logits(
                key, network, logits_of, batch.image, data.classes, batch.line_length
            )
        return logits

    def _evaluate(self, batch: Batch, stage: str) -> None:
        for name in self.networks:
            logits = self._logits(name, batch.image).float()
            self._accuracy(name).update(logits, batch.target)
            loss = label_loss(logits, batch.target)
            curve, n = _curve(f"{stage}/loss", name), len(batch.image)
            self.log(curve, loss, batch_size=n, sync_dist=self._several)
        for wiring in self._wirings.values():
            wiring.forget()

    def _log_top1(self, stage: str) -> None:
        for name in self.networks:
            accuracy = self._accuracy(name)
            curve, top1 = _curve(f"{stage}/top1", name), 100 * accuracy.compute()
            self.log(curve, top1, prog_bar=True, sync_dist=self._several)
            accuracy.reset()

    def _accuracy(self, name: str) -> Metric:
        return cast(Metric, self.accuracies[name])


def _curve(name: str, peer: str) -> str:
    return name if peer == _STUDENT else f"{name}/{peer}"
