"""A student and its own average: Tarvainen and Valpola, NIPS 2017, arXiv 1703.01780."""

import copy
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.modules.distillation import Distillation
from distill.modules.finite import check_weights
from distill.modules.frozen import TeacherMode
from distill.modules.leave import leave_weights
from distill.modules.normalization import Normalization
from distill.modules.optimization import Decay
from distill.wiring.term import Term

_SAVED = "mean_teacher"


class MeanTeacher(Distillation):
    """Distillation whose teacher is the exponential moving average of the student's weights.

    After each step the teacher is a * teacher + (1 - a) * student, running statistics of batch norm
    included, with a = min(``average``, 1 - 1 / (steps + 1)) as in the authors' code: the plain mean
    of the first steps, then the moving average. It has no gradient and is in no optimizer; it is
    saved and resumed with the student, and a finished run leaves it in ``teacher.safetensors``. Its
    accuracy is logged as ``val/top1/teacher``.

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
        channels_last: Keep images and the weights of both networks in channels-last layout.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``.

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
        channels_last: bool = False,
        decay: Decay = "all",
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
            teacher_mode=teacher_mode,
            normalization=_for_both(normalization),
            channels_last=channels_last,
            decay=decay,
        )
        self._average = average

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,  # noqa: ANN401 - Lightning's wrapper of it
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """The student's step, then the teacher's, so that a checkpoint holds both or neither."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        kept = min(self._average, 1 - 1 / (self.global_step + 1))
        own, students = self._average_state(), self.student.state_dict()
        with torch.no_grad():
            for name, value in own.items():
                if value.is_floating_point():
                    value.lerp_(students[name], 1 - kept)
                else:
                    value.copy_(students[name])

    def on_validation_epoch_start(self) -> None:
        """The teacher has changed since it was last looked at."""
        self.teacher_top1.pop("val", None)

    def on_validation_epoch_end(self) -> None:
        """Top-1 accuracies of both in percent."""
        super().on_validation_epoch_end()
        self.log("val/top1/teacher", self.teacher_top1["val"], sync_dist=self._several)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the average too; refuse weights that are not finite."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[_SAVED] = self._average_state()
        check_weights(checkpoint[_SAVED], self.global_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the average that was saved."""
        cast(nn.Module, self.teacher).load_state_dict(checkpoint[_SAVED])

    def on_fit_end(self) -> None:
        """Write the average to ``teacher.safetensors``, where runs are kept."""
        leave_weights(self.trainer, {"teacher.safetensors": cast(nn.Module, self.teacher)})

    def _average_state(self) -> dict[str, Tensor]:
        return cast(nn.Module, self.teacher).state_dict()


def _for_both(
    normalization: Normalization | None,
) -> dict[Literal["student", "teacher"], Normalization] | None:
    if normalization is None:
        return None
    return {"student": normalization, "teacher": normalization}
