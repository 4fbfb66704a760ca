"""What student and teacher give for the validation images, once more after training."""

import warnings
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from PIL.Image import Image
from torch import nn

from distill.compress.cost import bit_costs, is_quantized
from distill.core.outputs import logits_of
from distill.metrics import cpu_latency_ms, flops
from distill.metrics.cost import dummy_image
from distill.results.predictions import PredictionRecorder, Predictions
from distill.runs.session import Session
from distill.runs.side_by_side import side_by_side


class Diagnostics(NamedTuple):
    """How a student compares with its teacher.

    Attributes:
        values: By name, see the task's ``comparison``; empty without validation images.
        predictions: Of every image; None without validation images and for tasks whose images do
            not have one class each.
        sheet: What labels and networks say of the first images; None where it is not drawn.
    """

    values: dict[str, float]
    predictions: Predictions | None
    sheet: Image | None = None


@torch.no_grad()
def run_diagnostics(session: Session, trainer: pl.Trainer) -> Diagnostics:
    """Run student and teacher over the validation images, on the device that they trained on.

    Args:
        session: What was trained.
        trainer: What trained it.
    """
    batches = int(sum(trainer.num_val_batches))
    if not batches:
        return Diagnostics({}, None)
    module, model, task = session.module, session.model, session.task
    device = trainer.strategy.root_device
    module.to(device).eval()  # Lightning moved it to the CPU when training ended
    taught = "teacher" in model.evaluation.scored
    comparison = task.comparison(session.data, taught)
    if isinstance(comparison, nn.Module):
        comparison.to(device)
    recorder, sheet = PredictionRecorder() if task.keeps_predictions() else None, None
    for number, batch in enumerate(islice(session.datamodule.val_dataloader(), batches)):
        shown = replace(batch, image=batch.image.to(device), target=batch.target.to(device))
        with trainer.precision_plugin.forward_context():
            student = model.outputs_of("student", shown)
            teacher = model.outputs_of("teacher", shown) if taught else None
        if number == 0:
            gave = ({} if teacher is None else {"teacher": teacher}) | {"student": student}
            sheet = side_by_side(task, batch, gave, session.data.classes)
        said = task.predicted(teacher) if teacher is not None else None
        comparison.update(task.predicted(student), said, task.target(shown))
        if recorder is not None:
            logits = logits_of(teacher) if teacher is not None else None
            recorder.update(shown.image, batch.index, shown.target, logits_of(student), logits)
    module.to("cpu")
    return Diagnostics(comparison.compute(), recorder.compute() if recorder else None, sheet)


def cost(network: nn.Module, shape: tuple[int, ...]) -> dict[str, object]:
    """What a network on the CPU costs per image (c, h, w), in the precision of its weights.

    Returns:
        ``flops``, two per multiply-add, ``cpu_latency_ms``, the median at batch size 1, which says
        nothing of a quantised network and is None then, and those of ``compress.cost.bit_costs``;
        all None, with a warning, where the network cannot be measured.
    """
    weights = next(network.parameters(), torch.empty(0))
    image = dummy_image(shape).to(weights.dtype)
    try:
        return {
            "flops": flops(network, image),
            "cpu_latency_ms": None if is_quantized(network) else _latency(network, image),
        } | bit_costs(network, image)
    except RuntimeError as error:  # a finished run is not lost for a figure
        problem = str(error).strip().splitlines()[0]
        warnings.warn(f"the cost of {type(network).__name__} is unknown: {problem}", stacklevel=2)
        return dict.fromkeys(("flops", "cpu_latency_ms", "bits", "nonzero", "bops"))


def _latency(network: nn.Module, image: torch.Tensor) -> float:
    return round(cpu_latency_ms(network, image), 3)
