"""A run: a recipe carried out in a run directory, with everything it leaves behind."""

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import RichProgressBar
from rich.console import Console
from safetensors.torch import load_file, save_file

from distill.build import Built, build
from distill.callbacks import (
    RunRecord,
    SafeCheckpointIO,
    StopOnSignal,
    WandbConfig,
    checkpointers,
    metrics_file,
    newest_valid,
)
from distill.callbacks.record import data_sizes, parameters
from distill.errors import RecipeError
from distill.recipes import Tree

Result = dict[str, Any]


def fit(
    tree: Tree,
    run_dir: Path,
    *,
    name: str = "",
    resume: bool = False,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Result:
    """Train what a recipe describes.

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
    console = console or Console()
    if not resume and (run_dir / "config.yaml").exists():
        raise RecipeError(str(run_dir), "holds a run already: distill resume, or another --run_dir")
    with _calm(), _claimed(run_dir):
        built = build(tree, str(run_dir), trusted)
        _set_up(built)
        checkpoint = _checkpoint_to_resume(run_dir) if resume else None
        record = RunRecord(console, each_epoch=not console.is_terminal)
        trainer = _trainer(built, run_dir, record, checkpoint)
        trainer.fit(built.model, built.data, ckpt_path=checkpoint, weights_only=True)
        result = _record(built, trainer, record, run_dir, name)
    _tell(console, result, run_dir)
    return result


def test(run_dir: Path, source: str | None = None, console: Console | None = None) -> Result:
    """Test the student of a finished run.

    Args:
        run_dir: The run.
        source: Test images, where they are not the recipe's.
        console: Where to print.

    Returns:
        What was written to ``test.json``: accuracies in percent, and what they were measured on.

    Raises:
        RecipeError: If there is no finished run, or the images do not fit it.
    """
    console = console or Console()
    student, record = run_dir / "student.safetensors", run_dir / "result.json"
    for path in (student, record):
        if not path.is_file():
            raise RecipeError(str(path), "is missing: not the directory of a finished run")
    tree: Tree = yaml.safe_load((run_dir / "config.yaml").read_text())
    classes = json.loads(record.read_text())["dataset"]["classes"]
    if source is not None:
        tree["data"]["init_args"]["test"] = source
    with _calm():
        built = build(tree, str(run_dir))
        built.model.student.load_state_dict(load_file(student))  # type: ignore[union-attr, operator]
        plain = {"logger": False, "enable_checkpointing": False}
        trainer = pl.Trainer(**{**_plain_trainer(built, run_dir), **plain})
        try:
            built.data.setup("test")
        except ValueError as error:
            raise RecipeError("data.test", str(error)) from error
        if list(built.data.classes) != classes:  # type: ignore[attr-defined]
            raise RecipeError("data.test", _class_difference(classes, built.data.classes))  # type: ignore[attr-defined]
        measured = _measure(trainer, built)
    where = source or "the recipe's test images"
    result = {"source": where, "images": data_sizes(trainer)["test"], "top1": measured}
    _write_json(run_dir / "test.json", result)
    for network, value in measured.items():
        console.print(f"{network:8} {value:.2f} % of {result['images']} images, {where}")
    return result


def _set_up(built: Built) -> None:
    """Open the data, so that what is wrong with it is said before a trainer exists."""
    try:
        built.data.setup("fit")
        batches = len(built.data.train_dataloader())
    except ValueError as error:
        raise RecipeError("data", str(error)) from error
    if built.trainer["log_every_n_steps"] is None:
        built.trainer["log_every_n_steps"] = min(50, batches)


def _trainer(built: Built, run_dir: Path, record: RunRecord, checkpoint: Path | None) -> pl.Trainer:
    arguments = _plain_trainer(built, run_dir)
    step = torch.load(checkpoint, weights_only=True)["global_step"] if checkpoint else None
    loggers = arguments["logger"]
    own = (
        loggers
        if isinstance(loggers, list)
        else [loggers]
        if loggers not in (None, True, False)
        else []
    )
    arguments["logger"] = [metrics_file(run_dir, step), *own]
    folder = run_dir / "checkpoints"
    arguments["callbacks"] = [
        record,
        WandbConfig(built.config),
        *([RichProgressBar()] if sys.stdout.isatty() else []),
        *(arguments["callbacks"] or []),
        *checkpointers(folder),
        StopOnSignal(folder),
    ]
    arguments["plugins"] = [SafeCheckpointIO(), *(arguments["plugins"] or [])]
    (run_dir / "config.yaml").write_text(yaml.safe_dump(built.config, sort_keys=False))
    return pl.Trainer(**arguments)


def _plain_trainer(built: Built, run_dir: Path) -> dict[str, Any]:
    return built.trainer | {
        "default_root_dir": run_dir,
        "num_sanity_val_steps": 0,  # the dry pass does more
        "enable_model_summary": False,
        "enable_progress_bar": sys.stdout.isatty(),
        "use_distributed_sampler": False,  # the keyed sampler shares batches among processes
    }


def _record(
    built: Built, trainer: pl.Trainer, record: RunRecord, run_dir: Path, name: str
) -> Result:
    model, data = built.model, built.data
    save_file(
        {key: value.contiguous() for key, value in model.student.state_dict().items()},  # type: ignore[union-attr, operator]
        run_dir / "student.safetensors",
    )
    result: Result = {
        "recipe": name,
        "seed": built.config["seed_everything"],
        "dataset": {
            "class": type(data).__name__,
            "classes": list(data.classes),  # type: ignore[attr-defined]
            "images": data_sizes(trainer),
        },
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "wall_s": round(record.wall_s, 2),
        "device": str(trainer.strategy.root_device),
        "precision": str(trainer.precision),
        "versions": {p: version(p) for p in ("distill", "torch", "pytorch-lightning", "timm")},
        "normalization": {"mean": list(data.mean), "std": list(data.std)},  # type: ignore[attr-defined]
        "teacher": None,
        "student": _network(model.student, {"val": record.top1}),
    }
    if model.teacher is not None:
        value = {stage: {"last": v, "best": v} for stage, v in model.teacher_top1.items()}  # type: ignore[union-attr, operator]
        result["teacher"] = _network(model.teacher, value)
    if data_sizes(trainer).get("test"):
        _add_test(result, built, trainer, run_dir)
    _write_json(run_dir / "result.json", result)
    return result


def _network(network: torch.nn.Module, top1: dict[str, Any]) -> Result:
    return {
        "class": type(network).__name__,
        "parameters": parameters(network),
        "top1": top1,
    }


def _add_test(result: Result, built: Built, trainer: pl.Trainer, run_dir: Path) -> None:
    last = _measure(trainer, built)
    best_path = run_dir / "checkpoints" / "best.ckpt"
    best = last
    if best_path.is_file():
        state = SafeCheckpointIO().load_checkpoint(best_path)["state_dict"]
        built.model.load_state_dict(state)
        best = _measure(trainer, built)
    for network in last:
        result[network]["top1"]["test"] = {"last": last[network], "best": best[network]}


def _measure(trainer: pl.Trainer, built: Built) -> dict[str, float]:
    trainer.test(built.model, built.data, verbose=False)
    measured = {"student": trainer.callback_metrics["test/top1"].item()}
    teacher = getattr(built.model, "teacher_top1", {}).get("test")
    return measured | ({"teacher": teacher} if teacher is not None else {})


def _checkpoint_to_resume(run_dir: Path) -> Path:
    checkpoint = newest_valid(run_dir / "checkpoints")
    if checkpoint is None:
        raise RecipeError(str(run_dir), "holds no valid checkpoint to resume from")
    return checkpoint


def _tell(console: Console, result: Result, run_dir: Path) -> None:
    for network in ("teacher", "student"):
        if result[network] is not None:
            accuracies = [
                f"{stage} {values['last']:.2f} % (best epoch {values['best']:.2f} %)"
                for stage, values in result[network]["top1"].items()
                if "last" in values
            ]
            console.print(f"{network:8} {', '.join(accuracies)}", highlight=False)
    console.print(
        f"run      {run_dir}: result.json, student.safetensors, metrics.csv, checkpoints/"
    )


def _class_difference(trained: Sequence[str], tested: Sequence[str]) -> str:
    odd = sorted(set(trained) ^ set(tested))
    counts = f"the run has {len(trained)} classes, the images {len(tested)}"
    return f"{counts}; not in both: {', '.join(odd[:5])}"


def _write_json(path: Path, value: Result) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)


@contextmanager
def _claimed(run_dir: Path) -> Iterator[None]:
    """Own a run directory; leave none behind that holds nothing yet."""
    made = not run_dir.exists()
    run_dir.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(run_dir / ".lock", timeout=0), run_dir / ".pid"
    try:
        lock.acquire()
    except Timeout as error:
        pid = owner.read_text() if owner.exists() else "unknown"
        raise RecipeError(str(run_dir), f"is in use by process {pid}") from error
    try:
        import os

        owner.write_text(str(os.getpid()))
        yield
    except RecipeError:
        if made:
            shutil.rmtree(run_dir)
        raise
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _calm() -> Iterator[None]:
    """Lightning's notes on hardware and tips are not this run's news."""
    loggers = [
        logging.getLogger(f"{p}.utilities.rank_zero") for p in ("pytorch_lightning", "lightning")
    ]
    loggers.append(logging.getLogger("pytorch_lightning"))
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # a resumed run
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
