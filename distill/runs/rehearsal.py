"""The first step of a run, rehearsed on copies with a few images, before anything is begun."""

import os
import warnings
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Checkpoint,
    EarlyStopping,
    LearningRateFinder,
    ProgressBar,
)
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader

from distill.core.batch import Batch
from distill.core.errors import NonFiniteError, RecipeError
from distill.core.rank import first_process
from distill.runs.first_step import as_configuration
from distill.runs.session import Session, data_errors, listed

_IMAGES = 8
_FINDERS = (BatchSizeFinder, LearningRateFinder)
_NOT_RUN = (Checkpoint, EarlyStopping, ProgressBar)
"""They write, print or stop a run: those that watch a figure are asked for its name."""


@runtime_checkable
class Validates(Protocol):
    """A datamodule that can show some of its validation images."""

    def val_example(self, n: int) -> Batch:
        """The first ``n`` of them."""


class Unwires(Protocol):
    """Terms, with hooks on networks."""

    def unwire(self) -> None:
        """Take them off."""


class Keeps(Protocol):
    """A teacher whose outputs may be kept.

    Attributes:
        settings: Of the cache; None: nothing is kept.
    """

    settings: object


@runtime_checkable
class Taught(Protocol):
    """A module whose frozen teacher is shared with its copies."""

    objective: Unwires
    teaching: Keeps


class _FirstStep(pl.Callback):
    """Checks that there is something to learn, and stops after one step."""

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        if not loss.requires_grad:
            raise RecipeError("model.losses", "no term has a gradient to what is trained")

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        trainer.should_stop = True


def rehearse(session: Session) -> None:
    """Do what the first step of a run does, and a validation, with a few images and on copies.

    Nothing is left behind: no file, no weight, no draw of a random number, no row of a cache. A
    module that cannot be copied is not rehearsed, nor are callbacks of other people.

    Args:
        session: What is going to be trained, its data set up.

    Raises:
        RecipeError: Naming what would end the run.
    """
    if not first_process():
        return
    real = session.bare_trainer(enable_progress_bar=False)
    _check_nodes(real)
    _check_intervals(session, real)
    _refuse_finders(session)
    given = [one for one in listed(session.settings["callbacks"]) if _takes_part(one)]
    parts = (session.module, given, listed(session.settings["plugins"]))
    try:
        module, callbacks, plugins = deepcopy(parts)
    except Exception:  # whatever a foreign part raises: its run will tell
        return
    failed = None
    with warnings.catch_warnings(), isolate_rng():
        warnings.simplefilter("ignore")
        try:
            with as_configuration(session.nodes):
                trainer = _trainer(session, real, [*callbacks, _FirstStep()], plugins)
                _run(trainer, module, _few(session, real))
                _check_monitors(session, trainer)
        except RecipeError as error:
            failed = error
        except NonFiniteError:  # exit code 3 is the run's to give
            pass
    if failed is not None:
        raise failed


def _run(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
    if isinstance(module, Taught):
        module.teaching.settings = None
    try:
        with data_errors(), torch.compiler.set_stance("force_eager"):
            trainer.fit(module, datamodule=data)
    finally:
        if isinstance(module, Taught):
            module.objective.unwire()


def _takes_part(callback: pl.Callback) -> bool:
    ours = type(callback).__module__.startswith(("distill.", "pytorch_lightning."))
    return ours and not isinstance(callback, _NOT_RUN)


def _refuse_finders(session: Session) -> None:
    """What changes a recipe while it runs cannot be repeated."""
    for place, callback in enumerate(listed(session.settings["callbacks"])):
        if isinstance(callback, _FINDERS):
            told = f"{type(callback).__name__} changes the recipe; use `distill tune`"
            raise RecipeError(f"trainer.callbacks.{place}", told)


def _check_nodes(trainer: pl.Trainer) -> None:
    """Several machines are started by something that tells each who the others are."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    alone = isinstance(environment, LightningEnvironment) and "MASTER_ADDR" not in os.environ
    if trainer.num_nodes > 1 and alone:
        told = f"is {trainer.num_nodes}, but no torchrun, Slurm or MASTER_ADDR is there"
        raise RecipeError("trainer.num_nodes", told)


def _check_intervals(session: Session, trainer: pl.Trainer) -> None:
    """Check what is counted in batches."""
    found = len(session.datamodule.train_dataloader()) // trainer.world_size or 1
    limit = session.settings["limit_train_batches"]
    if isinstance(limit, float):
        if int(found * limit) == 0:
            told = f"is less than one of the {found} batches of an epoch"
            raise RecipeError("trainer.limit_train_batches", told)
        found = int(found * limit)
    elif limit is not None:
        found = min(found, limit)
    every = session.settings["val_check_interval"]
    if isinstance(every, int) and session.settings["check_val_every_n_epoch"] and every > found:
        told = f"must be at most {found}, the batches of an epoch, got {every}"
        raise RecipeError("trainer.val_check_interval", told)


def _trainer(
    session: Session, real: pl.Trainer, callbacks: Sequence[pl.Callback], plugins: Sequence[Any]
) -> pl.Trainer:
    """One process and one device, a batch of training and one of validation."""
    one_device = 1 if isinstance(real.accelerator, CPUAccelerator) else real.device_ids[:1]
    return session.trainer(
        logger=DummyLogger(),
        callbacks=list(callbacks),
        plugins=list(plugins),
        strategy="auto",
        devices=one_device,
        num_nodes=1,
        min_epochs=None,
        min_steps=None,
        max_time=None,
        limit_train_batches=None,
        limit_val_batches=1 if _validates(session) else 0,
        val_check_interval=None,
        check_val_every_n_epoch=1,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        profiler=None,
        reload_dataloaders_every_n_epochs=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )


def _validates(session: Session) -> bool:
    wanted = session.settings["limit_val_batches"] != 0
    return wanted and isinstance(session.datamodule, Validates)


def _few(session: Session, real: pl.Trainer) -> pl.LightningDataModule:
    """The data with one batch of a few images in each loader."""
    data = copy(session.datamodule)
    size = min(_IMAGES, getattr(data, "batch_size", _IMAGES))
    for hook in ("prepare_data", "setup", "teardown"):
        setattr(data, hook, lambda *_, **__: None)
    loaders = {"train_dataloader": lambda: _one_batch(session.data.example(size))}
    if isinstance(session.datamodule, Validates):
        shown = session.datamodule.val_example
        loaders["val_dataloader"] = lambda: _one_batch(shown(size))
    for name, loader in loaders.items():
        setattr(data, name, loader)
    return data


def _one_batch(batch: Batch) -> DataLoader[Batch]:
    return DataLoader([batch], batch_size=None)  # type: ignore[arg-type]


def _check_monitors(session: Session, trainer: pl.Trainer) -> None:
    """Check that what callbacks watch is logged."""
    if session.settings["limit_val_batches"] != 0 and not _validates(session):
        return  # the names of validation are not known
    known = {*map(str, trainer.callback_metrics), "epoch", "step"}
    for place, callback in enumerate(listed(session.settings["callbacks"])):
        watched = getattr(callback, "monitor", None)
        if isinstance(watched, str) and isinstance(callback, _NOT_RUN) and watched not in known:
            told = f"{type(callback).__name__} watches {watched}, which is not logged; logged are"
            names = ", ".join(sorted(known - {"epoch", "step"}))
            raise RecipeError(f"trainer.callbacks.{place}", f"{told} {names}")
    headline = f"val/{session.task.metric}"
    if _validates(session) and headline not in known:
        told = f"{type(session.module).__name__} does not log {headline} in validation"
        raise RecipeError("model", told)
