"""Weights & Biases: what a finished run found, its images of disagreement, and its files."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image
from pytorch_lightning.loggers import Logger, WandbLogger

from distill.results.predictions import Predictions

if TYPE_CHECKING:
    import wandb

_FILES = {"student": "student.safetensors", "recipe": "config.yaml"}


def log_results(
    loggers: Sequence[Logger],
    result: Mapping[str, Any],
    run_dir: Path,
    predictions: Predictions | None,
    sheet: Image | None,
) -> None:
    """Add a finished run's results to its W&B run; a failure there is a warning.

    The summary holds the numbers of ``result.json`` by dotted key; ``val/disagreements`` is a table
    of the images on which student and teacher (or label) differ, ``val/side_by_side`` a picture of
    masks or boxes; the artifacts ``student-<id>`` and ``recipe-<id>`` are the student's weights and
    the resolved recipe.

    Args:
        loggers: All loggers of the trainer.
        result: The content of ``result.json``.
        run_dir: Where the files are.
        predictions: On the validation images, if any.
        sheet: What labels and networks say of some of them, drawn, if it is.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _log(logger.experiment, result, run_dir, predictions, sheet)


def _log(
    run: "wandb.Run",
    result: Mapping[str, Any],
    run_dir: Path,
    predictions: Predictions | None,
    sheet: Image | None,
) -> None:
    import wandb

    try:
        run.summary.update(dict(_flat(result)))
        if predictions is not None:
            classes = result["dataset"]["classes"]
            run.log({"val/disagreements": _table(predictions, classes)})
        if sheet is not None:
            run.log({"val/side_by_side": wandb.Image(sheet)})
        for kind, name in _FILES.items():
            artifact = wandb.Artifact(f"{kind}-{run.id}", type=kind)
            # Not copied: the files of a finished run do not change.
            artifact.add_file(str(run_dir / name), policy="immutable")
            run.log_artifact(artifact)
    except (wandb.Error, OSError, ValueError) as error:
        warnings.warn(f"W&B: the results were not logged: {error}", stacklevel=2)


def _table(predictions: Predictions, classes: Sequence[str]) -> "wandb.Table":
    import wandb

    columns: list[str | int] = ["image", "index", "label", "student", "confidence"]
    columns += ["teacher"] if predictions.teacher is not None else []
    table = wandb.Table(columns=columns)
    for row, pixels in zip(predictions.shown.tolist(), predictions.images, strict=True):
        cells = [
            wandb.Image(pixels.permute(1, 2, 0).squeeze(-1).numpy()),
            int(predictions.index[row]),
            classes[int(predictions.target[row])],
            classes[int(predictions.student[row])],
            float(predictions.confidence[row]),
        ]
        if predictions.teacher is not None:
            cells.append(classes[int(predictions.teacher[row])])
        table.add_data(*cells)
    return table


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a tree by dotted key; lists are left out."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", value
