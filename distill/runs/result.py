"""What a finished run leaves behind: accuracies, weights, and the facts that they depend on."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from distill.callbacks import CKA, GradientCosine
from distill.core.rank import first_process
from distill.recipes.build import Built
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.runs.diagnostics import cost, examine
from distill.runs.directory import write_json
from distill.runs.progress import RunRecord, data_sizes, parameters
from distill.runs.wandb.results import log_results

Result = dict[str, Any]


def write_result(
    built: Built, trainer: pl.Trainer, record: RunRecord, run_dir: Path, name: str
) -> Result:
    """Write what a run leaves, testing where there are test images.

    ``student.safetensors``, ``validation.safetensors`` (its predictions) and ``result.json``.

    Args:
        built: What was trained.
        trainer: What trained it.
        record: Its accuracies and times.
        run_dir: Where to write.
        name: What to call the recipe.

    Returns:
        The content of ``result.json``.
    """
    examination = examine(built.model, trainer)
    if first_process():
        state = built.model.student.state_dict()
        weights = {key: value.contiguous() for key, value in state.items()}
        save_file(weights, run_dir / "student.safetensors")
        if examination.predictions is not None:
            examination.predictions.save(run_dir)
    result = _facts(built, trainer, record, name)
    result["diagnostics"] = examination.values | _on_demand(trainer)
    if data_sizes(trainer).get("test"):
        _add_test(result, built, trainer, run_dir)
    if first_process():
        write_json(run_dir / "result.json", result)
        log_results(trainer.loggers, result, run_dir, examination.predictions)
    return result


def measure(trainer: pl.Trainer, built: Built) -> dict[str, float]:
    """Top-1 accuracies in percent on the test images, of the student and of the teacher if any."""
    trainer.test(built.model, built.data, verbose=False)
    measured = {"student": trainer.callback_metrics["test/top1"].item()}
    teacher = built.model.teacher_top1.get("test")
    return measured | ({"teacher": teacher} if teacher is not None else {})


def tell(console: Console, result: Result, run_dir: Path) -> None:
    """Print the student's accuracy beside the teacher's, and where everything lies."""
    for network in ("teacher", "student"):
        if result[network] is not None:
            accuracies = [
                f"{stage} {values['last']:.2f} % (best epoch {values['best']:.2f} %)"
                for stage, values in result[network]["top1"].items()
                if values
            ]
            console.print(f"{network:8} {', '.join(accuracies)}", highlight=False)
    files = "result.json, student.safetensors, metrics.csv, checkpoints/"
    console.print(f"run      {run_dir}: {files}", highlight=False, soft_wrap=True)


def _facts(built: Built, trainer: pl.Trainer, record: RunRecord, name: str) -> Result:
    """What was trained, how well and how fast, but for the test."""
    model, data = built.model, built.data
    shape = tuple(data.example(1).image.shape[1:])
    teacher = None
    if model.teacher is not None:
        top1 = {stage: {"last": v, "best": v} for stage, v in model.teacher_top1.items()}
        teacher = _network(model.teacher, top1, shape)
    return {
        "recipe": name,
        "seed": built.config["seed_everything"],
        "dataset": {
            "class": type(data).__name__,
            "classes": list(data.classes),
            "shape": list(shape),
            "images": data_sizes(trainer),
        },
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "wall_s": round(record.wall_s, 2),
        "train_images_per_s": record.images_per_s and round(record.images_per_s, 1),
        "device": str(trainer.strategy.root_device),
        "cpu_threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
        "versions": {p: version(p) for p in ("distill", "torch", "pytorch-lightning", "timm")},
        "normalization": asdict(model.normalization["student"]),
        "cache": _cache(model),
        "teacher": teacher,
        "student": _network(model.student, {"val": record.top1}, shape),
    }


def _network(network: nn.Module, top1: dict[str, Any], shape: tuple[int, ...]) -> Result:
    size = {"class": type(network).__name__, "parameters": parameters(network)}
    return size | cost(network, shape) | {"top1": top1}


def _cache(model: Any) -> dict[str, object] | None:  # noqa: ANN401 - of any class that a recipe names
    recall = getattr(model, "recall", None)
    if recall is None:
        return None
    return {"file": str(recall.store.path), "batches_computed": recall.computed}


def _on_demand(trainer: pl.Trainer) -> dict[str, dict[str, float]]:
    found = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CKA):
            found["cka"] = callback.values
        if isinstance(callback, GradientCosine):
            found["gradient_cosine"] = callback.values
    return found


def _add_test(result: Result, built: Built, trainer: pl.Trainer, run_dir: Path) -> None:
    last = measure(trainer, built)
    best = last
    best_path = run_dir / "checkpoints" / "best.ckpt"
    if best_path.is_file():
        state = SafeCheckpointIO().load_checkpoint(best_path)["state_dict"]
        built.model.load_state_dict(state)
        best = measure(trainer, built)
    for network in last:
        result[network]["top1"]["test"] = {"last": last[network], "best": best[network]}
