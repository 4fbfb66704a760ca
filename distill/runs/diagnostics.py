"""A look at a trained student: its validation images once more, beside the teacher's answers."""

import warnings
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import nn

from distill.metrics import Comparison, LineComparison, cpu_latency_ms, flops
from distill.metrics.cost import dummy_image
from distill.results.predictions import PredictionRecorder, Predictions


class Examination(NamedTuple):
    """What the look showed.

    Attributes:
        values: See :meth:`distill.metrics.Comparison.compute`, for text lines that of
            :class:`~distill.metrics.LineComparison`; empty without validation images.
        predictions: What was said of every image; None without validation images and for text
            lines, which have no one class.
    """

    values: dict[str, float]
    predictions: Predictions | None


@torch.no_grad()
def examine(model: Any, trainer: pl.Trainer) -> Examination:  # noqa: ANN401 - any such module
    """Run student and teacher over the validation images, on the device that they trained on.

    Args:
        model: The module that was trained, with a ``teacher``, or None, and ``teacher_logits``.
        trainer: What trained it.
    """
    batches = int(sum(trainer.num_val_batches))
    if not batches:
        return Examination({}, None)
    data = trainer.datamodule  # type: ignore[attr-defined]
    device = trainer.strategy.root_device
    model.to(device).eval()  # Lightning moved it to the CPU when training ended
    taught, of_lines = model.teacher is not None, data.example(1).line_length is not None
    comparison = LineComparison(taught) if of_lines else Comparison(len(data.classes), taught)
    comparison.to(device)
    recorder = None if of_lines else PredictionRecorder()
    for batch in islice(data.val_dataloader(), batches):
        image, target = batch.image.to(device), batch.target.to(device)
        with trainer.precision_plugin.forward_context():
            student = model(image)
            teacher = model.teacher_logits(replace(batch, image=image)) if taught else None
        comparison.update(student, teacher, target)
        if recorder is not None:
            recorder.update(image, batch.index, target, student, teacher)
    model.to("cpu")
    return Examination(comparison.compute(), recorder.compute() if recorder else None)


def cost(network: nn.Module, shape: tuple[int, ...]) -> dict[str, float | None]:
    """What a network on the CPU costs per image (c, h, w), in the precision of its weights.

    Returns:
        ``flops``, two per multiply-add, and ``cpu_latency_ms``, the median at batch size 1; None,
        with a warning, where the network cannot be measured.
    """
    weights = next(network.parameters(), torch.empty(0))
    image = dummy_image(shape).to(weights.dtype)
    try:
        return {
            "flops": flops(network, image),
            "cpu_latency_ms": round(cpu_latency_ms(network, image), 3),
        }
    except RuntimeError as error:  # a finished run is not lost for a figure
        problem = str(error).strip().splitlines()[0]
        warnings.warn(f"the cost of {type(network).__name__} is unknown: {problem}", stacklevel=2)
        return {"flops": None, "cpu_latency_ms": None}
