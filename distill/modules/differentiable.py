"""Architecture search by gradients: Liu et al., DARTS, ICLR 2019, arXiv 1806.09055.

Paths drawn one at a time are those of GDAS (Dong and Yang, CVPR 2019, arXiv 1910.04465), epochs
without steps of the alphas those of PC-DARTS (Xu et al., ICLR 2020, arXiv 1907.05737), and the skip
that fades out is that of DARTS- (Chu et al., ICLR 2021, arXiv 2009.01027).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.core.randomness import fold, uniform
from distill.modules.bilevel import architecture_gradient, with_gradient
from distill.modules.distillation import Distillation
from distill.modules.finite import check_total
from distill.modules.loaders import OFF, LoaderData, data_of
from distill.modules.networks import Normalization
from distill.modules.objective import reseed_step
from distill.modules.optimization import Decay
from distill.modules.relaxation import CostTerm, Kind, Relaxation
from distill.modules.supernet import Supernet, strongest
from distill.modules.teacher import TeacherMode, frozen_running_stats
from distill.modules.two_optimizers import TwoOptimizers
from distill.wiring.term import Term, weighted
from distill.wiring.wiring import Context

ARCHITECTURE, WEIGHTS = "architecture", "weights"
_FEWEST = 2


class DifferentiableSearch(Distillation):
    """Trains a supernet: its weights on one half of the training images, its alphas on the other.

    An image's half follows from the seed and its number, so it never changes. Each step first moves
    the alphas, then the weights; a half with fewer than two images in a batch takes no step. Both
    minimise the same terms, the alphas with those of the limits beside them.

    Args:
        teacher: The network that gives targets, or None.
        student: The supernet, such as ``students.MixedCells``.
        losses: The terms of the objective by name, see :class:`~distill.modules.Term`.
        relaxation: ``softmax``: edges give the mixture of all operations; ``gumbel``: one operation
            each, drawn anew in each turn, with the gradient of the softmax with Gumbel noise.
        order: Of the alphas' gradient: 1, or 2, through a step of the weights, by DARTS's central
            differences in three more passes, with plain gradient descent for that step.
        limits: What a design may cost, ``parameters`` or ``flops``. Each adds
            ``cost_weight * max(0, E[cost] / limit - 1)``, where E[cost] is the mean cost of designs
            that are drawn from the mixture.
        cost_weight: At least 0.
        warm_epochs: Epochs at the start in which the alphas rest, as in PC-DARTS.
        auxiliary_skip: Whether edges add their input, less each epoch and in the last not at all.
        temperature: Of ``gumbel``, in the first and in the last epoch.
        optimizer: Makes that of the weights, see ``Distillation``, as for what is not named here.
        architecture_optimizer: Makes that of the alphas; None gives the authors' Adam with learning
            rate 3e-4, betas 0.5 and 0.999, and weight decay 1e-3.
        scheduler: Makes the schedule of the weights' rate; None keeps it.
        normalization: By ``student`` or ``teacher``, where it is not their own or the data's.

    Raises:
        ValueError: If the student is no supernet, or an argument is out of range.
        RecipeError: In ``setup``, if something does not fit the data, or more than one process or
            batch a step is asked for.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        losses: dict[str, Term],
        relaxation: Kind = "softmax",
        order: Literal[1, 2] = 1,
        limits: dict[Literal["parameters", "flops"], float] | None = None,
        cost_weight: float = 1.0,
        warm_epochs: int = 0,
        auxiliary_skip: bool = False,
        temperature: tuple[float, float] = (5.0, 0.5),
        optimizer: OptimizerCallable | None = None,
        architecture_optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: dict[Literal["student", "teacher"], Normalization] | None = None,
        decay: Decay = "all",
        cache: str | None = None,
    ) -> None:
        plain: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler}
        plain |= {"scheduler_interval": scheduler_interval, "teacher_mode": teacher_mode}
        plain |= {"normalization": normalization, "decay": decay, "cache": cache}
        super().__init__(teacher, student, losses, **plain)
        _check(student, relaxation, order)
        self._relaxation = Relaxation(relaxation, temperature, auxiliary_skip)
        self.cost = CostTerm(limits or {}, cost_weight)
        self._order, self._warm, self._turn = order, warm_epochs, WEIGHTS
        self._architecture_optimizer = architecture_optimizer or _authors

    @property
    def supernet(self) -> Supernet:
        """The student."""
        return cast(Supernet, self.student)

    def setup(self, stage: str) -> None:
        """As everywhere; and find out what operations cost."""
        super().setup(stage)
        if stage == "fit":
            data = data_of(self, stage)
            _check_training(self.trainer, data)
            self.cost.set_up(self.supernet, tuple(data.example(1).image.shape[1:]))

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """Both optimizers as one, with the schedule of the weights."""
        weights = self._optimization.made(_weights(self, self.supernet))
        alphas = self._architecture_optimizer(list(self.supernet.alphas.values()))
        return self._optimization.configure(self, TwoOptimizers(weights, alphas))

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,  # noqa: ANN401 - Lightning's wrapper of it
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """A step of the alphas, then one of the weights; the closure runs :meth:`training_step`."""
        for turn in (ARCHITECTURE, WEIGHTS)[self.current_epoch < self._warm :]:
            self._turn = turn
            optimizer.optimizer.take_turn(turn)
            optimizer.step(closure=optimizer_closure)
        self.teaching.after_step(self.student, self.global_step)

    def training_step(self, given: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """The objective on the half whose turn it is, for the alphas with what designs cost."""
        batch = self.evaluation.batch(self, given)
        reseed_step(self, self.seed, batch, self._turn)
        first = for_weights(batch, self.seed)
        trained, held_out = _part(batch, first), _part(batch, ~first)
        mine = trained if self._turn == WEIGHTS else held_out
        if len(mine.image) < _FEWEST:
            return torch.zeros((), device=self.device, requires_grad=True)
        if self._turn == WEIGHTS:
            values, context = self._evaluate(mine)
            return self.objective.total(self, values, context)
        with frozen_running_stats(self.student):
            loss = self._held_out_loss(trained, held_out)
        shares = self.cost.shares(self.supernet)
        told = {f"train/cost/{name}": share.detach() for name, share in shares.items()}
        self.log_dict(told | {"train/architecture_loss": loss.detach()})
        return loss + self.cost.value(shares).to(loss)

    def outputs_of(self, network: str, batch: Batch) -> Outputs:
        """As everywhere; a supernet of drawn paths shows its strongest ones."""
        if network != "student" or not self._relaxation.draws:
            return super().outputs_of(network, batch)
        with self.supernet.mixed(strongest(self.supernet)):
            return super().outputs_of(network, batch)

    def _held_out_loss(self, trained: Batch, held_out: Batch) -> Tensor:
        """With the gradient to the alphas that the order asks for."""
        if self._order == 1 or len(trained.image) < _FEWEST:
            return self._loss(held_out)
        on_both = [partial(self._loss, half) for half in (trained, held_out)]
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        weights, alphas = _weights(self, self.supernet), list(self.supernet.alphas.values())
        value, gradients = architecture_gradient(on_both[0], on_both[1], weights, alphas, rate)
        return with_gradient(value, alphas, gradients)

    def _loss(self, batch: Batch) -> Tensor:
        values, context = self._evaluate(batch)
        products = weighted(self.objective.terms, values, self.current_epoch)
        total = torch.stack(list(products.values())).sum()
        check_total(total, values, self.global_step, context.get("batch.target"))
        return total

    def _evaluate(self, batch: Batch) -> tuple[dict[str, Tensor], Context]:
        """The terms' values on images of one half, and what they read."""
        known, wiring = self.teacher_context(batch), self.objective.wiring
        key = fold(self.seed, "paths", batch.step, self._turn)
        mixture = self._relaxation.mixture(self.supernet, key, _progress(self.trainer))
        with self.supernet.mixed(mixture):
            student = self.networks.outputs("student", batch.image, training=True)
        context = wiring.context(batch, {"student": student}, known)
        return wiring.evaluate(context), context


def for_weights(batch: Batch, seed: int) -> Tensor:
    """Whether images train the weights (b,), rather than the alphas."""
    return uniform(fold(seed, "half"), batch.index)[:, 0] < 0.5


def _part(batch: Batch, rows: Tensor) -> Batch:
    chosen = {name: getattr(batch, name)[rows] for name in ("image", "target", "index")}
    return replace(batch, **chosen)


def _weights(module: nn.Module, supernet: Supernet) -> list[nn.Parameter]:
    """Whatever is trained beside the alphas, parts of losses included."""
    alphas = {id(one) for one in supernet.alphas.values()}
    return [p for p in module.parameters() if p.requires_grad and id(p) not in alphas]


def _progress(trainer: pl.Trainer) -> float:
    """0 in the first epoch, 1 in the last; by steps where training ends after so many."""
    done, total = trainer.current_epoch, trainer.max_epochs or -1
    if total < 1:
        done, total = trainer.global_step, trainer.max_steps
    return 0.0 if total < 1 else done / max(1, total - 1)


def _check(student: nn.Module, relaxation: str, order: int) -> None:
    if not isinstance(student, Supernet):
        told = "student must be a supernet, such as students.MixedCells"
        raise ValueError(f"{told}, got {type(student).__name__}")
    if relaxation == "gumbel" and order == 2:
        raise ValueError("order 2 needs relaxation softmax: drawn paths have no second derivative")


def _check_training(trainer: pl.Trainer, data: object) -> None:
    if isinstance(data, LoaderData):
        raise RecipeError("data", f"a gradient search halves numbered images: {OFF}")
    if trainer.world_size > 1:
        raise RecipeError("trainer.devices", "must be 1: a gradient search runs in one process")
    if trainer.accumulate_grad_batches > 1:
        raise RecipeError("trainer.accumulate_grad_batches", "must be 1 in a gradient search")
    if trainer.precision == "16-mixed":
        raise RecipeError("trainer.precision", "a gradient search takes bf16-mixed or 32-true")


def _authors(parameters: Any) -> torch.optim.Optimizer:  # noqa: ANN401 - as torch's
    return torch.optim.Adam(parameters, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
