"""What a finished run leaves behind: figures, weights, and the facts that they depend on."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import nn

from distill.cache import TeacherCache
from distill.callbacks import CKA, GradientCosine
from distill.compress.cost import float_bytes, is_quantized
from distill.compress.pack import is_sparse, pack
from distill.core.files import sha256, write_json, write_tensors
from distill.core.preprocessing import FILE as PREPROCESS
from distill.core.preprocessing import Preprocessing, Rule
from distill.core.protocols import SavesNetworks
from distill.core.rank import first_process
from distill.results.model_card import write_card
from distill.results.scores import scores_of
from distill.results.study import SHEET
from distill.results.weak_teacher import weak_in_run
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.runs.diagnostics import cost, run_diagnostics
from distill.runs.directory import PACKED, WEIGHTS
from distill.runs.progress import RunRecord, parameters
from distill.runs.session import Session
from distill.runs.wandb.results import log_results
from distill.tasks import Tells

Result = dict[str, Any]


class HoldsCache(Protocol):
    """What holds a teacher's outputs in training."""

    cache: TeacherCache | None


@runtime_checkable
class Resizes(Protocol):
    """A datamodule that says how it resizes images."""

    resize: Rule


@runtime_checkable
class Taught(Protocol):
    """A module whose teacher's outputs may be kept."""

    teaching: HoldsCache


def write_result(session: Session, trainer: pl.Trainer, record: RunRecord, name: str) -> Result:
    """Write what a run leaves, testing where there are test images.

    ``student.safetensors``, of a quantised student ``student.packed.safetensors``, whatever other
    networks the module leaves, ``preprocess.json``, ``validation.safetensors`` (its predictions) or
    ``validation.png`` (boxes and masks, drawn), ``result.json`` and a model card, ``README.md``.

    Args:
        session: What was trained.
        trainer: What trained it.
        record: Its figures and times.
        name: What to call the recipe.

    Returns:
        The content of ``result.json``.
    """
    run_dir = session.run_dir
    diagnostics = run_diagnostics(session, trainer)
    if first_process():
        preprocessing = _preprocessing(session)
        write_json(run_dir / PREPROCESS, preprocessing.facts())
        metadata = {"preprocess": preprocessing.text()}
        save_weights(session.model.student, run_dir / WEIGHTS, metadata)
        files = [WEIGHTS, *save_packed(session.model.student, run_dir)]
        if isinstance(session.model, SavesNetworks):
            for file, network in session.model.saved_networks.items():
                save_weights(network, run_dir / file)
        if diagnostics.predictions is not None:
            diagnostics.predictions.save(run_dir)
        if diagnostics.sheet is not None:
            diagnostics.sheet.save(run_dir / SHEET)
    result = _facts(session, trainer, record, name)
    result["diagnostics"] = diagnostics.values | _on_demand(trainer)
    if session.data.sizes().get("test"):
        _add_test(result, session, trainer)
    if first_process():
        result["student"] |= _stored(session.model.student, run_dir / files[-1])
        result["sha256"] = {name: sha256(run_dir / name) for name in files}
        write_json(run_dir / "result.json", result)
        write_card(run_dir, result)
        log_results(trainer.loggers, result, run_dir, diagnostics.predictions, diagnostics.sheet)
    return result


def save_weights(network: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network's weights as safetensors, with texts by name in its head."""
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, network.state_dict(), metadata)


def save_packed(network: nn.Module, run_dir: Path) -> list[str]:
    """Write a quantised network as the codes that it rounds to, a sparse one without its zeros.

    The file is read back before it counts.

    Returns:
        The name of the file; of none where nothing is quantised or sparse or, with a warning, where
        a layer never ran in training and has no codes.
    """
    if not is_quantized(network) and not any(is_sparse(p) for p in network.parameters()):
        return []
    temporary = run_dir / f".{PACKED}.tmp"
    try:
        pack(network, temporary)
        temporary.replace(run_dir / PACKED)
    except ValueError as error:  # a finished run is not lost for it
        warnings.warn(f"{PACKED} is not written: {error}", stacklevel=2)
        return []
    finally:
        temporary.unlink(missing_ok=True)
    return [PACKED]


def _stored(network: nn.Module, path: Path) -> dict[str, float]:
    """The bytes of the smallest file of a network, and how many times smaller than float32's."""
    size = path.stat().st_size
    ratio = round(float_bytes(network) / size, 2) if path.name == PACKED else 1.0
    return {"stored_bytes": size, "stored_ratio": ratio}


def measure(trainer: pl.Trainer, session: Session) -> dict[str, float]:
    """Headline figures in percent on the test images, of the student and of the teacher if any."""
    trainer.test(session.module, session.datamodule, verbose=False)
    measured = {"student": trainer.callback_metrics[f"test/{session.task.metric}"].item()}
    teacher = session.model.evaluation.teacher_scores.get("test")
    return measured | ({"teacher": teacher} if teacher is not None else {})


def print_summary(console: Console, result: Result, run_dir: Path) -> None:
    """Print the student's figures beside the teacher's, and where everything lies."""
    for network in ("teacher", "student"):
        if result[network] is not None:
            figures = [
                f"{stage} {values['last']:.2f} % (best epoch {values['best']:.2f} %)"
                for stage, values in scores_of(result, network).items()
                if values
            ]
            console.print(f"{network:8} {', '.join(figures)}", highlight=False)
    for told in weak_in_run(result):
        console.print(f"warning  {told}", highlight=False, soft_wrap=True)
    files = "result.json, student.safetensors, metrics.csv, checkpoints/"
    console.print(f"run      {run_dir}: {files}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Costs:
    """Describes networks for images of one shape, their figures under the task's headline."""

    metric: str
    shape: tuple[int, ...]

    def of(self, network: nn.Module, scores: Mapping[str, object]) -> Result:
        size = {"class": type(network).__name__, "parameters": parameters(network)}
        return size | cost(network, self.shape) | {self.metric: dict(scores)}


def _preprocessing(session: Session) -> Preprocessing:
    channels, height, width = session.data.example(1).image.shape[1:]
    normalization = session.model.networks.normalization["student"]
    return Preprocessing(
        task=type(session.task).__name__,
        classes=tuple(session.data.classes),
        channels=channels,
        size=(height, width),
        resize=session.data.resize if isinstance(session.data, Resizes) else None,
        mean=tuple(normalization.mean),
        std=tuple(normalization.std),
    )


def _facts(session: Session, trainer: pl.Trainer, record: RunRecord, name: str) -> Result:
    """What was trained, how well and how fast, but for the test."""
    model, data, task = session.model, session.data, session.task
    shape = tuple(data.example(1).image.shape[1:])
    costs = _Costs(task.metric, shape)
    teacher = None
    if model.teacher is not None:
        known = model.evaluation.teacher_scores
        scores = {stage: {"last": v, "best": v} for stage, v in known.items()}
        teacher = costs.of(model.teacher, scores)
    normalization = model.networks.normalization["student"]
    return {
        "recipe": name,
        "seed": session.config.seed,
        "task": type(task).__name__,
        "metric": task.metric,
        "goal": task.goal,
        "pipeline_tag": task.pipeline_tag if isinstance(task, Tells) else None,
        "dataset": {
            "class": type(data).__name__,
            "classes": list(data.classes),
            "shape": list(shape),
            "images": data.sizes(),
        },
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "wall_s": round(record.wall_s, 2),
        "train_images_per_s": record.images_per_s and round(record.images_per_s, 1),
        "device": str(trainer.strategy.root_device),
        "cpu_threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
        "versions": {p: version(p) for p in ("distill", "torch", "pytorch-lightning", "timm")},
        "normalization": {"mean": list(normalization.mean), "std": list(normalization.std)},
        "cache": _cache(session),
        "teacher": teacher,
        "student": costs.of(model.student, {"val": record.scores}),
    }


def _cache(session: Session) -> dict[str, object] | None:
    cache = session.module.teaching.cache if isinstance(session.module, Taught) else None
    return {"file": str(cache.store.path), "batches_computed": cache.misses} if cache else None


def _on_demand(trainer: pl.Trainer) -> dict[str, dict[str, float]]:
    found = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CKA):
            found["cka"] = callback.values
        if isinstance(callback, GradientCosine):
            found["gradient_cosine"] = callback.values
    return found


def _add_test(result: Result, session: Session, trainer: pl.Trainer) -> None:
    last = measure(trainer, session)
    best = last
    best_path = session.run_dir / "checkpoints" / "best.ckpt"
    if best_path.is_file():
        state = SafeCheckpointIO().load_checkpoint(best_path)["state_dict"]
        session.module.load_state_dict(state)
        best = measure(trainer, session)
    for network in last:
        values = {"last": last[network], "best": best[network]}
        scores_of(result, network)["test"] = values
