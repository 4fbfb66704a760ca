"""How good networks are on a set of images, by the figures of a task."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from distill.core.batch import Batch
from distill.core.outputs import Outputs
from distill.modules.loaders import labelled
from distill.tasks import ImageData, Task

_STUDENT, _TEACHER = "student", "teacher"


class Evaluation(nn.Module):
    """Collects what networks give over the batches of a set, and logs their figures.

    The student's curves have the plain names, ``val/<figure>`` and ``val/loss``; those of others
    end in theirs, ``val/loss/<name>``. A teacher has no loss; one that is frozen is scored once.

    Args:
        names: Of the networks.
        teacher_changes: Whether the teacher is scored in each validation, with a curve.

    Attributes:
        scored: The networks that have figures: those that give what the task needs.
        teacher_scores: The teacher's headline figure in percent, by ``val`` and ``test``.
    """

    def __init__(self, names: Iterable[str], teacher_changes: bool = False) -> None:
        super().__init__()
        self._names, self.teacher_changes = list(names), teacher_changes
        self.scored = self._names
        self._metrics = nn.ModuleDict()
        self._task: Task | None = None
        self._classes = 0
        self.teacher_scores: dict[str, float] = {}

    def set_up(self, data: ImageData) -> None:
        """Make empty metrics, those of the data's task."""
        self._task, self._classes = data.task, len(data.classes)
        self._metrics = nn.ModuleDict({name: data.task.evaluation(data) for name in self._names})

    def batch(self, module: pl.LightningModule, given: Batch | Sequence[Tensor]) -> Batch:
        """A batch as it is, or the (image, label) of a plain loader as one.

        Args:
            module: What sees it.
            given: What the loader gave.

        Raises:
            RecipeError: If it is neither, or a label is no class.
        """
        if isinstance(given, Batch):
            return given
        trainer = module.trainer
        step = trainer.fit_loop.epoch_loop.total_batch_idx
        return labelled(given, self._classes, trainer.current_epoch, step)

    def step(
        self,
        module: pl.LightningModule,
        stage: str,
        given: Batch | Sequence[Tensor],
        outputs_of: Callable[[str, Batch], Outputs],
    ) -> None:
        """Add a batch, and log the losses on its labels.

        Args:
            module: What the curves are logged of.
            stage: ``val`` or ``test``.
            given: Images as they are.
            outputs_of: Gives a network's outputs for them.
        """
        task, batch = cast(Task, self._task), self.batch(module, given)
        n = len(batch.image)
        for name in self._due(stage):
            loss: Tensor | None = torch.zeros((), device=batch.image.device)
            if n:  # a process may get a last batch of nothing
                outputs = outputs_of(name, batch)
                self._metric(name).update(task.predicted(outputs), task.target(batch))
            if n and name != _TEACHER:
                loss = task.label_loss(outputs, batch)
            if name != _TEACHER and loss is not None:
                several = module.trainer.world_size > 1
                curve = _curve(f"{stage}/loss", name)
                module.log(curve, loss, batch_size=n, sync_dist=several)

    def log(self, module: pl.LightningModule, stage: str) -> None:
        """Log the figures of all batches, in percent, and forget these."""
        headline = cast(Task, self._task).metric
        for name in self._due(stage):
            found = self._metric(name).compute()
            self._metric(name).reset()
            figures: dict[str, Tensor] = found if isinstance(found, dict) else {headline: found}
            for figure, share in figures.items():
                value = 100 * share
                if name == _TEACHER and figure == headline:
                    self.teacher_scores[stage] = value.item()
                if name != _TEACHER or (self.teacher_changes and stage == "val"):
                    curve, several = (
                        _curve(f"{stage}/{figure}", name),
                        module.trainer.world_size > 1,
                    )
                    shown = figure == headline and name != _TEACHER
                    module.log(curve, value, prog_bar=shown, sync_dist=several)

    def _due(self, stage: str) -> list[str]:
        """The networks that are due; a teacher that does not change is known after one pass."""
        known = stage in self.teacher_scores and not (self.teacher_changes and stage == "val")
        return [name for name in self.scored if name != _TEACHER or not known]

    def _metric(self, name: str) -> Metric:
        return cast(Metric, self._metrics[name])


class LogFigures(pl.Callback):
    """Logs a module's figures at the end of each pass over the validation or the test images.

    Args:
        evaluation: That of the module.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log them as ``val/<figure>``."""
        self._evaluation.log(pl_module, "val")
        if trainer.sanity_checking:  # of a few images, which is nothing to remember
            self._evaluation.teacher_scores.pop("val", None)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log them as ``test/<figure>``."""
        self._evaluation.log(pl_module, "test")


def _curve(name: str, network: str) -> str:
    return name if network == _STUDENT else f"{name}/{network}"
