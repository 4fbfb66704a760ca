"""One network that holds many: Cai et al., Once-for-All, ICLR 2020, arXiv 1908.09791.

Trained by sandwiches, as in BigNAS (Yu et al., ECCV 2020, arXiv 2003.11142): the largest part, the
smallest and some others in each step. With stages whose parts differ in more and more dimensions
it is the progressive shrinking of Once-for-All.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, cast

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules.distillation import Distillation
from distill.modules.loaders import data_of
from distill.modules.networks import Normalization, dry, dry_run_batch
from distill.modules.objective import Objective, placed_terms, reseed_step
from distill.modules.optimization import Decay
from distill.modules.subnets import Dimension, Elastic, Sandwich, Subnets
from distill.modules.teacher import TeacherMode, frozen_running_stats
from distill.modules.unused import allow_unused
from distill.wiring.keys import split_key
from distill.wiring.loss_modules import LossModules
from distill.wiring.term import PlacedTerm, Term
from distill.wiring.wiring import Context

_LARGEST = "largest"


class OnceForAll(Distillation):
    """Distillation of many parts of one student at once, each of which may be cut out later.

    Each step trains some parts, the subnets, on the same views and the same, once computed,
    outputs of the teacher; the gradients of their objectives are added and divided by their number.
    The figures of a run are those of the largest subnet, whose passes alone move the running
    statistics of batch norms: all others need theirs to be measured anew, see
    :func:`distill.modules.recalibrate`.

    Args:
        teacher: The network that gives targets, or None.
        student: The network that is trained, such as ``students.elastic_chain``.
        losses: The terms of each subnet by name; ``student`` is the one at hand.
        subnets: Which ones each step trains.
        in_place: Terms of all subnets but the largest, which may read ``largest.logits``, what the
            largest has just given: a constant.
        losses_of: Whether ``losses`` are those of ``all`` subnets, or of the ``largest`` alone,
            with ``in_place`` for the others, as in BigNAS.
        elastic: The dimensions in which subnets differ from the largest; None: all that the student
            has; none: the largest alone is trained.
        sort_channels: Whether training begins by putting those channels first that are read with
            the largest weights.
        optimizer: See :class:`~distill.modules.Distillation`, as for what follows.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        teacher_mode: ``eval``, or ``batch_statistics``.
        normalization: By ``student`` or ``teacher``, where not the network's own or the data's.
        channels_last: Keep images and the weights of both networks in channels-last layout.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``.
        cache: Where to keep what the terms read from the teacher.

    Raises:
        ValueError: If the student is not elastic, or terms need a largest that is not trained.
        RecipeError: In ``setup``, if the terms do not fit the largest and the smallest subnet.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        losses: dict[str, Term],
        subnets: Subnets = Subnets(),  # noqa: B008 - it is frozen
        in_place: dict[str, Term] | None = None,
        losses_of: Literal["all", "largest"] = "all",
        elastic: list[Dimension] | None = None,
        sort_channels: bool = False,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: dict[Literal["student", "teacher"], Normalization] | None = None,
        channels_last: bool = False,
        decay: Decay = "all",
        cache: str | None = None,
    ) -> None:
        super().__init__(
            teacher,
            student,
            losses,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            teacher_mode=teacher_mode,
            normalization=normalization,
            channels_last=channels_last,
            decay=decay,
            cache=cache,
        )
        _check_terms(bool(in_place), subnets, losses_of)
        self.sandwich = Sandwich(student, subnets, elastic)
        self.in_place = LossModules({name: term.loss for name, term in (in_place or {}).items()})
        self._has_largest, self._sorts = subnets.largest, sort_channels
        own, others = placed_terms(losses), _in_place(in_place or {})
        self._of_largest = [*own]
        self._of_others = [*(own if losses_of == "all" else ()), *others]
        aliases = {_LARGEST: "student"}
        self.objective = Objective({**own, **others}, ["student"], aliases=aliases)

    @property
    def elastic(self) -> Elastic:
        """The student, as what chooses among its parts knows it."""
        return cast(Elastic, self.student)

    def setup(self, stage: str) -> None:
        """Check networks, terms and data with the largest and the smallest subnet."""
        if stage == "fit" and self._sorts:
            self.elastic.sort_channels()
        self.elastic.choose(self.sandwich.largest)
        super().setup(stage)
        if stage == "fit":
            self.elastic.choose(self.sandwich.smallest)
            self._check_smallest()
            self.elastic.choose(self.sandwich.largest)

    def training_step(self, given: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """All subnets of the step see the same view; the mean of their weighted sums of terms."""
        batch = self.evaluation.batch(self, given)
        reseed_step(self, self.seed, batch)
        known = self.teacher_context(batch)
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        subnets = self.sandwich.of_step(self.seed, step)
        found: dict[str, list[Tensor]] = {}
        for number, architecture in enumerate(subnets):
            if number:
                reseed_step(self, self.seed, batch, f"subnet {number}")
            context = self._pass(batch, architecture, known)
            largest = architecture == self.sandwich.largest
            if largest:
                shown = {key for key in context if split_key(key).head == _LARGEST}
                known = {**known, **{key: context[key] for key in shown}}
            names = self._of_largest if largest else self._of_others
            for name, value in self.objective.wiring.evaluate(context, names).items():
                found.setdefault(name, []).append(value)
        self.elastic.choose(self.sandwich.largest)
        means = {name: torch.stack(each).sum() / len(subnets) for name, each in found.items()}
        return self.objective.total(self, means, context)

    def _check_smallest(self) -> None:
        data, shapes = data_of(self, "fit"), self.objective.shapes
        with dry(self):
            batch = dry_run_batch(data, self.device)
            try:
                outputs = self.networks.dry_run(
                    batch, data, unread=self.objective.unread("teacher")
                )
                self.objective.dry_run(batch, outputs, self.teaching.stored)
            except RecipeError as error:
                taps = (f"{key} {of}" for key, of in shapes.items() if key.startswith("student"))
                told = f"fits the largest subnet, with {', '.join(taps)}, and not the smallest"
                raise RecipeError(error.key, f"{told}: {error.message}") from error
            allow_unused(self, batch)
        self.objective.shapes = shapes

    def _pass(self, batch: Batch, architecture: Any, known: Context) -> Context:  # noqa: ANN401
        """What the terms read of the pass of a subnet."""
        self.elastic.choose(architecture)
        moves = architecture == self.sandwich.largest or not self._has_largest
        with nullcontext() if moves else frozen_running_stats(self.student):
            outputs = self.networks.outputs("student", batch.image, training=True)
        return self.objective.wiring.context(batch, {"student": outputs}, known)


def _check_terms(in_place: bool, subnets: Subnets, losses_of: str) -> None:
    if losses_of not in ("all", _LARGEST):
        raise ValueError(f"losses_of must be all or largest, got {losses_of!r}")
    if in_place and not subnets.largest:
        raise ValueError("in_place needs subnets.largest, whose outputs it reads")
    if losses_of == _LARGEST and not in_place:
        raise ValueError("losses_of: largest needs in_place, or the other subnets learn nothing")


def _in_place(terms: dict[str, Term]) -> dict[str, PlacedTerm]:
    """The terms by name; what the largest gave is a constant to them."""
    return {
        f"in_place/{name}": PlacedTerm(f"model.in_place.{name}", term, trains="student")
        for name, term in terms.items()
    }
