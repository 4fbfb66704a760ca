"""A run: a recipe carried out in a run directory."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from PIL import Image
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from distill.core.errors import RecipeError
from distill.core.rank import first_process
from distill.recipes import Tree
from distill.recipes.build import Built, build
from distill.runs.checkpoint_io import SafeCheckpointIO, checkpointers
from distill.runs.directory import (
    checkpoint_to_resume,
    claimed,
    read_finished,
    read_weights,
    refuse_second_run,
    write_config,
    write_json,
)
from distill.runs.metrics_csv import metrics_file
from distill.runs.precision import settle_precision
from distill.runs.progress import RunRecord, data_sizes
from distill.runs.result import Result, measure, tell, write_result
from distill.runs.signals import StopOnSignal
from distill.runs.wandb.config import WandbConfig
from distill.runs.wandb.connection import reachable_loggers, start


def fit(
    tree: Tree,
    run_dir: Path,
    *,
    name: str = "",
    resume: bool = False,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Result:
    """Train what a recipe describes, in stages if it has some.

    Args:
        tree: What ``recipes.load`` returned.
        run_dir: Where the run's files go.
        name: What to call the recipe in ``result.json``.
        resume: Go on from the newest valid checkpoint in ``run_dir``.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        What was written to ``result.json``.

    Raises:
        RecipeError: If the recipe is wrong; no run directory is left then.
        NonFiniteError: If a loss became infinite or NaN.
        Interrupted: After a signal; a checkpoint was saved.
    """
    if "stages" in tree:
        from distill.runs.staged import fit_stages  # a stage is a run itself

        return fit_stages(tree, run_dir, name=name, resume=resume, trusted=trusted, console=console)
    console = console or Console(quiet=not first_process())
    with calm(), claimed(run_dir):
        if not resume and first_process():
            refuse_second_run(run_dir)
        built = build(reachable_loggers(tree), str(run_dir), trusted)
        settle_precision(built, console)
        open_data(built)
        checkpoint = checkpoint_to_resume(run_dir) if resume else None
        record = RunRecord(console, each_epoch=not console.is_terminal)
        trainer = _trainer(built, run_dir, name, record, checkpoint)
        with _one_value_per_channel_told():
            trainer.fit(built.model, built.data, ckpt_path=checkpoint, weights_only=True)
        if checkpoint is not None and not record.trained:
            _end_as_trained(built, trainer, checkpoint)
        result = write_result(built, trainer, record, run_dir, name)
    tell(console, result, run_dir)
    return result


def evaluate(
    run_dir: Path,
    source: str | None = None,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Result:
    """Test the student of a finished run.

    Args:
        run_dir: The run.
        source: Test images, where they are not the recipe's.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        What was written to ``test.json``: accuracies in percent, and what they were measured on.

    Raises:
        RecipeError: If there is no finished run, or the images do not fit it.
    """
    from distill.recipes.stages import last

    console = console or Console()
    written, trained = read_finished(run_dir)
    tree = last(written)
    if source is not None:
        _test_on(tree["data"], source)
    with calm():
        built = build(tree, str(run_dir), trusted)
        settle_precision(built, console)
        built.model.student.load_state_dict(read_weights(run_dir / "student.safetensors"))
        if (average := run_dir / "teacher.safetensors").is_file():
            built.model.teacher.load_state_dict(read_weights(average))
        _open_test_images(built, trained["dataset"]["classes"])
        plain = {"logger": False, "enable_checkpointing": False, "callbacks": []}
        trainer = pl.Trainer(**(own_settings(built, run_dir) | plain))
        measured = measure(trainer, built)
    where = source or "the recipe's test images"
    result = {"source": where, "images": data_sizes(trainer)["test"], "top1": measured}
    write_json(run_dir / "test.json", result)
    for network, value in measured.items():
        line = f"{network:8} {value:.2f} % of {result['images']} images, {where}"
        console.print(line, highlight=False, soft_wrap=True)
    return result


def _test_on(data: Tree, source: str) -> None:
    """Test images for a datamodule, or for the one that it takes its images from."""
    arguments = data["init_args"]
    if "test" not in arguments and isinstance(arguments.get("images"), dict):
        arguments = arguments["images"]["init_args"]
    arguments["test"] = source


def open_data(built: Built) -> None:
    """Open the data, so that what is wrong with it is said before a trainer exists."""
    try:
        built.data.setup("fit")
        batches = len(built.data.train_dataloader())
    except ValueError as error:
        raise RecipeError("data", str(error)) from error
    if built.trainer["log_every_n_steps"] is None:
        built.trainer["log_every_n_steps"] = min(50, batches)


def _open_test_images(built: Built, trained: Sequence[str]) -> None:
    try:
        built.data.setup("test")
    except ValueError as error:
        raise RecipeError("data.test", str(error)) from error
    tested = built.data.classes
    if list(tested) != list(trained):
        odd = ", ".join(sorted(set(trained) ^ set(tested))[:5])
        counts = f"the run has {len(trained)} classes, the images {len(tested)}"
        raise RecipeError("data.test", f"{counts}; not in both: {odd}")


def _trainer(
    built: Built, run_dir: Path, name: str, record: RunRecord, checkpoint: Path | None
) -> pl.Trainer:
    arguments = own_settings(built, run_dir)
    step = torch.load(checkpoint, weights_only=True)["global_step"] if checkpoint else None
    folder = run_dir / "checkpoints"
    arguments["logger"] = [metrics_file(run_dir, step), *_listed(arguments["logger"])]
    for logger in arguments["logger"]:
        if isinstance(logger, WandbLogger):
            start(logger)  # here, since Lightning would let a failure end the run
    arguments["callbacks"] = [
        record,
        WandbConfig(built.config),
        *([RichProgressBar()] if arguments["enable_progress_bar"] else []),
        *_listed(arguments["callbacks"]),
        *checkpointers(folder),
        StopOnSignal(folder),
    ]
    arguments["plugins"] = [SafeCheckpointIO(), *_listed(arguments["plugins"])]
    try:
        trainer = pl.Trainer(**arguments)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise RecipeError("trainer", " ".join(str(error).split())) from error
    if first_process():
        write_config(run_dir, built.config, name)
    return trainer


def own_settings(built: Built, run_dir: Path) -> dict[str, Any]:
    """The recipe's arguments of the Trainer, with the toolkit's defaults and what it insists on."""
    defaults = {
        "num_sanity_val_steps": 0,  # the dry pass does more
        "enable_model_summary": False,
        "enable_progress_bar": sys.stdout.isatty(),
    }
    given = {name: value for name, value in built.trainer.items() if value is not None}
    insisted = {
        "default_root_dir": run_dir,
        "use_distributed_sampler": False,  # the keyed sampler shares batches among processes
    }
    return built.trainer | defaults | given | insisted


def _listed(given: object) -> list[Any]:
    """Lightning's ``None``, ``True``, one object or a list of them as a list of objects."""
    if given is None or isinstance(given, bool):
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _end_as_trained(built: Built, trainer: pl.Trainer, checkpoint: Path) -> None:
    """Where nothing was left to train, do what Lightning then skips with the training.

    The weights that a run ends with are a checkpoint's, be they averages; and who looks at the
    validation images asks how many batches there are.
    """
    built.model.load_state_dict(SafeCheckpointIO().load_checkpoint(checkpoint)["state_dict"])
    trainer.fit_loop.epoch_loop.val_loop.setup_data()


@contextmanager
def _one_value_per_channel_told() -> Iterator[None]:
    """What torch says of a batch norm in the first step, as an error of the recipe."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        told = f"is too small for a batch norm: {error}"
        raise RecipeError("data.batch_size", told) from error


@contextmanager
def calm() -> Iterator[None]:
    """Lightning's notes on hardware and tips are not this run's news."""
    names = ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in (*names, "lightning_fabric.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # The in-memory loaders need no workers.
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # A resumed run goes on in its own directory.
            warnings.filterwarnings("ignore", ".*exists and is not empty.*")
            # Whatever is in evaluation mode then, the recipe says so: MutualLearning.trained_parts.
            warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
            # The decoder says which image it is.
            warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
            # Lightning calls a pytree function that torch 2.14 deprecates.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
