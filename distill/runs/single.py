"""A run of one stage: a recipe trained in a run directory."""

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from distill.core.rank import first_process
from distill.recipes import Recipe
from distill.runs.balance import TermBalance
from distill.runs.checkpoint_io import SafeCheckpointIO, checkpointers
from distill.runs.directory import (
    checkpoint_to_resume,
    lock_run_dir,
    refuse_second_run,
    write_config,
)
from distill.runs.exact_callbacks import refuse_inexact
from distill.runs.first_step import as_configuration
from distill.runs.initial_student import doubts, opened, recorded, take_weights
from distill.runs.learning_rate import LearningRates
from distill.runs.metrics_csv import metrics_file
from distill.runs.progress import RunRecord
from distill.runs.progress_bar import EpochBar, bars
from distill.runs.rehearsal import rehearse
from distill.runs.result import Result, print_summary, write_result
from distill.runs.session import Session, data_errors, listed, quiet_lightning
from distill.runs.settle import settle
from distill.runs.signals import StopOnSignal
from distill.runs.strategy import unused_parameters
from distill.runs.wandb.config import WandbConfig
from distill.runs.wandb.connection import start, take_offline, with_reachable_loggers


def fit_single(
    recipe: Recipe,
    run_dir: Path,
    name: str,
    resume: bool,
    trusted: Sequence[str],
    console: Console,
    overwrite: bool = False,
) -> Result:
    """Train a recipe without stages; the arguments are those of ``runs.fit``."""
    with quiet_lightning(), lock_run_dir(run_dir, overwrite=overwrite):
        if not resume and first_process():
            refuse_second_run(run_dir)
        checkpoint = checkpoint_to_resume(run_dir) if resume else None
        with as_configuration([]):
            begun = opened(recipe) if checkpoint else recipe
            session = Session(begun, run_dir, trusted, console)
            refuse_inexact(listed(session.settings["callbacks"]))
            session.set_up_data()
            settle(session, console)
        if checkpoint is not None and begun != recipe:
            take_weights(session, checkpoint)
        rehearse(session)
        for told in [] if checkpoint else doubts(session):
            console.print(f"warning  {told}", highlight=False, soft_wrap=True)
        session.config = with_reachable_loggers(session.config)
        take_offline(listed(session.settings["logger"]), session.config)
        if resume and checkpoint is None:
            console.print("note     no checkpoint was saved yet: the run starts anew")
        record = RunRecord(console)
        trainer = _trainer(session, [record, TermBalance(console), LearningRates()], checkpoint)
        if first_process():
            config = recorded(session.config, run_dir, resumed=checkpoint is not None)
            write_config(run_dir, config, name)
        going_on = as_configuration(session.nodes, lambda: trainer.global_step > 0)
        with data_errors(), unused_parameters(), going_on:
            trainer.fit(session.module, session.datamodule, ckpt_path=checkpoint, weights_only=True)
        if checkpoint is not None and not record.trained:
            _end_as_trained(session, trainer, checkpoint)
        result = write_result(session, trainer, record, name)
    print_summary(console, result, run_dir)
    return result


def _trainer(session: Session, ours: list[pl.Callback], checkpoint: Path | None) -> pl.Trainer:
    settings, run_dir, task = session.settings, session.run_dir, session.task
    state = torch.load(checkpoint, weights_only=True) if checkpoint else {}
    folder = run_dir / "checkpoints"
    csv = metrics_file(run_dir, state.get("global_step"), RunRecord.ended(state))
    loggers = [csv, *listed(settings["logger"])]
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            start(logger)  # here, since Lightning would let a failure end the run
    given = listed(settings["callbacks"])
    shown = bool(settings["enable_progress_bar"])
    callbacks = [
        *ours,
        WandbConfig(session.config.tree),
        *([EpochBar()] if shown and not bars(given) else []),
        *given,
        *checkpointers(folder, task.metric, task.goal),
        StopOnSignal(folder),
    ]
    plugins = [SafeCheckpointIO(), *listed(settings["plugins"])]
    return session.trainer(logger=loggers, callbacks=callbacks, plugins=plugins)


def _end_as_trained(session: Session, trainer: pl.Trainer, checkpoint: Path) -> None:
    """Where nothing was left to train, do what Lightning then skips with the training.

    The weights that a run ends with are a checkpoint's, be they averages; and the diagnostics ask
    how many validation batches there are.
    """
    state = SafeCheckpointIO().load_checkpoint(checkpoint)["state_dict"]
    session.module.load_state_dict(state)
    trainer.fit_loop.epoch_loop.val_loop.setup_data()
