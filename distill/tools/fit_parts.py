"""Training of networks, losses and data that are Python objects, and stand in no recipe."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from distill.core.errors import RecipeError
from distill.core.rank import first_process
from distill.modules import Distillation
from distill.modules.loaders import OFF
from distill.runs.directory import WEIGHTS, lock_run_dir, refuse_second_run
from distill.runs.metrics_csv import metrics_file
from distill.runs.result import save_weights
from distill.runs.session import data_errors, listed, quiet_lightning
from distill.tasks import ImageData
from distill.wiring.term import Term

Loaders = Iterable[Any] | Sequence[Iterable[Any]]
_ENDS = ("max_epochs", "max_steps", "max_time")
_NO_RECIPE = "objects stand in no config.yaml: resume, test, export and load_student are off"


class Parts(NamedTuple):
    """What is trained, and on what.

    Attributes:
        student: The network that is trained.
        teacher: The network that gives targets, or None.
        losses: The terms by name.
        data: A datamodule, a loader of (image, label), or one for training and one for validation.
    """

    student: nn.Module
    teacher: nn.Module | None
    losses: dict[str, Term]
    data: pl.LightningDataModule | Loaders


def fit_parts(
    parts: Parts, run_dir: Path, changes: Mapping[str, Any], verbose: bool
) -> dict[str, float]:
    """Train, and leave ``metrics.csv`` and ``student.safetensors``.

    Args:
        parts: What is trained, and on what.
        run_dir: Where files go.
        changes: Arguments of ``Distillation``, ``model.NAME``, and the Trainer, ``trainer.NAME``.
        verbose: Show a progress bar.

    Returns:
        Figures in percent by name.

    Raises:
        RecipeError: If a part or an argument is wrong; no run directory is left then.
    """
    model, settings = _arguments(changes)
    try:
        module = Distillation(parts.teacher, parts.student, parts.losses, **model)
    except TypeError as error:
        raise RecipeError("model", str(error)) from error
    rank_zero_info(_NO_RECIPE)
    if not isinstance(parts.data, ImageData):
        rank_zero_info(OFF)
    with quiet_lightning(), lock_run_dir(run_dir):
        if first_process():
            refuse_second_run(run_dir)
        trainer = _trainer(settings, run_dir, verbose)
        with data_errors():
            trainer.fit(module, **_given(parts.data))
        if first_process():
            save_weights(module.student, run_dir / WEIGHTS)
    return _figures(module, trainer)


def _arguments(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"model": {}, "trainer": {}}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if section not in found or not name:
            told = "parts take model.NAME, of Distillation, and trainer.NAME, of the Trainer"
            raise RecipeError(key, told)
        found[section][name] = value
    if not any(found["trainer"].get(name) for name in _ENDS):
        raise RecipeError("trainer.max_epochs", "is missing: say trainer__max_epochs=N")
    return found["model"], found["trainer"]


def _trainer(settings: dict[str, Any], run_dir: Path, verbose: bool) -> pl.Trainer:
    defaults = {
        "num_sanity_val_steps": 0,  # the dry run does more
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "enable_progress_bar": verbose,
        "log_every_n_steps": 1,
    }
    logger = [metrics_file(run_dir), *listed(settings.get("logger"))]
    insisted = {"logger": logger, "default_root_dir": run_dir}
    try:
        return pl.Trainer(**(defaults | settings | insisted))
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise RecipeError("trainer", " ".join(str(error).split())) from error


def _given(data: pl.LightningDataModule | Loaders) -> dict[str, Any]:
    """Arguments of ``Trainer.fit``."""
    if isinstance(data, pl.LightningDataModule):
        return {"datamodule": data}
    loaders = data if isinstance(data, (tuple, list)) else (data,)
    if len(loaders) not in (1, 2):
        raise RecipeError("data", f"needs a training and a validation loader, got {len(loaders)}")
    return dict(zip(("train_dataloaders", "val_dataloaders"), loaders, strict=False))


def _figures(module: Distillation, trainer: pl.Trainer) -> dict[str, float]:
    logged = trainer.callback_metrics.items()
    found = {name: value.item() for name, value in logged if name.startswith("val/")}
    found.pop("val/loss", None)
    for stage, value in module.evaluation.teacher_scores.items():
        found[f"{stage}/top1/teacher"] = value
    return found
