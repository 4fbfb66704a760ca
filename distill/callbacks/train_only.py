"""Trains named parts of a module and leaves the rest as it is."""

import pytorch_lightning as pl
from torch import Tensor

from distill.core.errors import RecipeError
from distill.core.suggest import nearest


class TrainOnly(pl.Callback):
    """Freezes all of a LightningModule but the parts that it is given.

    What is frozen keeps its weights and buffers, running statistics included, and is in evaluation
    mode throughout: no dropout, batch norm with its running statistics.

    Args:
        train: Names of parts, such as ``losses``, ``losses.hint``, ``student``, ``student.layer1``.

    Raises:
        RecipeError: In ``setup``, if a part is not there or holds nothing that can be trained; in
            the first step, if no term depends on what is trained.
    """

    def __init__(self, train: list[str]) -> None:
        self._train = train

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze the parameters of the rest, before the optimizer is made."""
        if stage != "fit":
            return
        parameters = dict(pl_module.named_parameters())
        for part in self._train:
            if not any(_inside(name, part) for name, p in parameters.items() if p.requires_grad):
                known = {name.rpartition(".")[0] for name in parameters}
                hint = "" if part in known else nearest(part, known)
                raise RecipeError("train", f"{part} holds nothing that can be trained{hint}")
        for name, parameter in parameters.items():
            if not any(_inside(name, part) for part in self._train):
                parameter.requires_grad_(False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the rest into evaluation mode; Lightning puts it back there after validation."""
        for name, module in pl_module.named_modules():
            related = (_inside(name, part) or _inside(part, name) for part in self._train)
            if name and not any(related):
                module.training = False

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Check that there is something to learn."""
        if not loss.requires_grad:
            raise RecipeError("train", f"no term depends on {', '.join(self._train)}")


def _inside(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
