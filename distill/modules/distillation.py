"""Teacher -> student distillation, and plain training without a teacher."""

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
from distill.modules.objective import Objective, placed_terms, reseed_step
from distill.modules.optimization import Decay, Optimization, PlateauSteps
from distill.modules.teacher import TeacherMode
from distill.modules.teaching import Teaching
from distill.modules.unused import allow_unused
from distill.wiring.loss_modules import LossModules
from distill.wiring.term import Term
from distill.wiring.wiring import Context


class Distillation(pl.LightningModule):
    """Trains a student on a weighted sum of terms that may look into a frozen teacher.

    The teacher is held outside the module tree: it is in no optimizer and no checkpoint, its mode
    is the declared one throughout, and its weights after fit are bitwise those before it.

    Args:
        teacher: The network that gives targets, or None to train the student alone.
        student: The network that is trained.
        losses: The terms of the objective by name, see :class:`~distill.modules.Term`.
        optimizer: Makes the optimizer from the parameters of the student and of the losses; None
            gives SGD with learning rate 0.05, momentum 0.9 and weight decay 5e-4.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        teacher_mode: ``eval``, or ``batch_statistics``: batch norm uses the batch, as OverHaul's
            and SSLD's authors do, with its running statistics left alone.
        normalization: By ``student`` or ``teacher``, where it is not the network's own
            ``input_normalization`` (of pretrained models and finished runs) or else the data's.
        channels_last: Keep images and weights so; None: if ``precision: auto`` finds it faster.
        decay: What weight decay acts on: ``all``, or ``weights``, which spares norms and biases.
        gradient_norms: ``student.logits`` or ``student@PATH``: where the L2 norm of each weighted
            term's gradient is logged, ``train/gradient/<name>``; a backward pass per term each.
        cache: Where to keep what the terms read from the teacher: an SQLite file, ``auto``, or a
            folder ``*.shards``. None: nowhere, unless the teacher is a ``teachers.Cached``.
        compile: Compile the training passes of both networks with ``torch.compile``.

    Raises:
        ValueError: If both ``cache`` and the teacher say where to keep its outputs.
        RecipeError: In ``setup``, if the terms do not fit the networks or the networks the data.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        losses: dict[str, Term],
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: dict[Literal["student", "teacher"], Normalization] | None = None,
        channels_last: bool | None = None,
        decay: Decay = "all",
        gradient_norms: str | None = None,
        cache: str | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.student = student
        self.teaching = Teaching(teacher, teacher_mode, cache)
        held = {"student": student} | ({"teacher": self.teaching} if teacher is not None else {})
        self.networks = Networks(held, normalization, channels_last, compile)
        self.losses = LossModules({name: term.loss for name, term in losses.items()})
        self.objective = Objective(placed_terms(losses), ["student"], gradient_norms)
        self.evaluation = Evaluation(held)
        self._optimization = Optimization(optimizer, scheduler, scheduler_interval, decay)
        self.seed = 0

    @property
    def teacher(self) -> nn.Module | None:
        """The network that gives targets."""
        return self.teaching.network

    @property
    def saved_networks(self) -> dict[str, nn.Module]:
        """What a finished run leaves beside the student, by file: a teacher that changed."""
        return self.teaching.saved

    def configure_callbacks(self) -> list[pl.Callback]:
        """What watches over the teacher, logs figures, and refuses weights that are not finite."""
        return [self.teaching, LogFigures(self.evaluation), FiniteWeights(), PlateauSteps()]

    def forward(self, image: Tensor) -> Outputs:
        """The student's outputs for images (b, c, h, w), uint8 or in 0..1: logits (b, k)."""
        return self.networks.outputs("student", image)

    def setup(self, stage: str) -> None:
        """Check networks, terms and data with two samples, before anything is trained."""
        data = data_of(self, stage)
        self.networks.set_up(data)
        self.evaluation.set_up(data)
        self.objective.unwire()
        if stage == "fit":
            self.objective.wire(self.networks, data, self.teaching.absent)
            self._optimization.check()
        with dry(self):
            batch = dry_run_batch(data, self.device)
            outputs = self.networks.dry_run(batch, data, unread=self.objective.unread("teacher"))
            self.objective.dry_run(batch, outputs, self.teaching.stored)
            allow_unused(self, batch)
        self.evaluation.scored = self.networks.fitting
        if stage == "fit":
            read = self.objective.wiring.keys_of("teacher")
            self.teaching.open_cache(self.trainer, self.networks, read, data)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """The optimizer, and a schedule that steps before that step's checkpoint is saved."""
        return self._optimization.configure(self)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Lightning's
        """The student's step, then the teacher's, so that a checkpoint holds both or neither."""
        super().optimizer_step(*args, **kwargs)
        self.teaching.after_step(self.student, self.global_step)

    def training_step(self, given: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """Both networks see the same view; the weighted terms are summed."""
        batch = self.evaluation.batch(self, given)
        reseed_step(self, self.seed, batch)
        known = self.teacher_context(batch)
        student = self.networks.outputs("student", batch.image, training=True)
        context = self.objective.wiring.context(batch, {"student": student}, known)
        if self.objective.moving:
            self.objective.read_batch_norms()
        return self.objective.total(self, self.objective.wiring.evaluate(context), context)

    @torch.no_grad()
    def teacher_context(self, batch: Batch) -> Context:
        """What the terms read from the teacher for a batch, by key; available in ``fit`` alone."""
        wiring = self.objective.wiring
        if not wiring.keys_of("teacher"):
            return {}

        def forward() -> Context:
            outputs = self.networks.outputs("teacher", batch.image, self.training)
            return wiring.outputs_of("teacher", outputs)

        cache = self.teaching.cache
        return cache.outputs(batch, forward) if cache else forward()

    def outputs_of(self, network: str, batch: Batch) -> Outputs:
        """A network's outputs for images as they are; a teacher's may come from the cache."""
        if network == "teacher":
            outputs = self.teaching.outputs(self.networks, batch)
        else:
            outputs = self.networks.outputs(network, batch.image)
        self.objective.clear()
        return outputs

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Figures and losses on the labels, see :class:`~distill.modules.Evaluation`."""
        self.evaluation.step(self, "val", batch, self.outputs_of)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation, on the test images."""
        self.evaluation.step(self, "test", batch, self.outputs_of)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        if self.teacher is not None:  # it moves along, though it is outside the module tree
            self.teacher._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
