"""A student and its own average: Tarvainen and Valpola, NIPS 2017, arXiv 1703.01780."""

import copy
from typing import Literal

from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from distill.modules.distillation import Distillation
from distill.modules.networks import Normalization
from distill.modules.optimization import Decay
from distill.modules.teacher import TeacherMode
from distill.wiring.term import Term


class MeanTeacher(Distillation):
    """Distillation whose teacher is the exponential moving average of the student's weights.

    After the n-th step the teacher is a * teacher + (1 - a) * student, running statistics of batch
    norm included, with a = min(``average``, 1 - 1 / n): the plain mean of the student after the
    first steps, then the moving average. It has no gradient and is in no optimizer; it is saved
    and resumed with the student, and a finished run leaves it in ``teacher.safetensors``. Its
    figures are logged as ``val/<figure>/teacher``.

    The paper's teacher runs in training mode and sees another view of each image; here both see the
    same view, and the teacher is in ``teacher_mode``.

    Args:
        student: The network that is trained.
        losses: The terms of the objective by name, see :class:`~distill.modules.Term`.
        average: The decay of the average, at least 0 and below 1.
        optimizer: See :class:`~distill.modules.Distillation`, as for what follows.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        teacher_mode: ``eval``, or ``batch_statistics``.
        normalization: Of the student, where it should not be its own or else the data's.
        channels_last: Keep images and weights so; None: if ``precision: auto`` finds it faster.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``.
        gradient_norms: A place of the student where each term's gradient is measured.
        compile: Compile the training passes of both networks.

    Raises:
        ValueError: If ``average`` is out of range.
        RecipeError: In ``setup``, if the terms do not fit the network or the network the data.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        student: nn.Module,
        losses: dict[str, Term],
        average: float = 0.99,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: Normalization | None = None,
        channels_last: bool | None = None,
        decay: Decay = "all",
        gradient_norms: str | None = None,
        compile: bool = False,
    ) -> None:
        if not 0 <= average < 1:
            raise ValueError(f"average must be at least 0 and below 1, got {average}")
        super().__init__(
            copy.deepcopy(student),
            student,
            losses,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            normalization=_for_both(normalization),
            channels_last=channels_last,
            decay=decay,
            gradient_norms=gradient_norms,
            compile=compile,
        )
        self.teaching.average(average, teacher_mode)
        self.evaluation.teacher_changes = self.objective.moving = True


def _for_both(
    normalization: Normalization | None,
) -> dict[Literal["student", "teacher"], Normalization] | None:
    return {"student": normalization, "teacher": normalization} if normalization else None
