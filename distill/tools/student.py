"""A finished run's trained student, ready to be used: with its normalisation, task and classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from distill.core.initial_weights import untrained
from distill.core.preprocessing import Preprocessing, read_preprocessing
from distill.recipes import Recipe
from distill.recipes.stages import last_stage
from distill.runs.directory import WEIGHTS, load_weights, read_finished
from distill.runs.session import Session
from distill.tasks import Task

_DOWNLOADING = {
    "students.timm_model": ("pretrained", False),
    "students.torchvision_model": ("weights", None),
}


class Deployed(nn.Module):
    """A student with its normalisation inside.

    Args:
        student: Maps normalised images (b, c, h, w) to logits.
        mean: Of each channel, for images in 0..1.
        std: Of each channel.

    Example:
        >>> halved = Deployed(nn.Flatten(), mean=[0.0], std=[2.0])
        >>> halved(torch.ones(1, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.student = student
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) for float32 images (b, c, h, w) in 0..1."""
        logits: Tensor = self.student((image - self.mean) / self.std)
        return logits


class Trained(NamedTuple):
    """What a finished run leaves to be used.

    Attributes:
        network: The student in evaluation mode, float32 on the CPU, normalisation inside.
        task: What its outputs mean.
        preprocessing: How an image becomes its input.
    """

    network: Deployed
    task: Task
    preprocessing: Preprocessing


def open_student(run_dir: Path, trusted: Sequence[str] = ()) -> Trained:
    """Build and load a finished run's student, without its teacher and its images.

    Args:
        run_dir: The run.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: If there is no finished run, or its files are damaged.
    """
    recipe, _ = read_finished(run_dir)
    preprocessing = read_preprocessing(run_dir)
    own = last_stage(recipe)
    student = _without_downloads(untrained(own.get("model.student")))
    alone = {"teacher": None, "student": student, "losses": {}}
    model = {"class_path": "distill.modules.Distillation", "init_args": alone}
    session = Session(Recipe({"model": model, "data": own.get("data")}), run_dir, trusted)
    network = session.model.student
    load_weights(network, run_dir / WEIGHTS)
    program = Deployed(network.float(), preprocessing.mean, preprocessing.std).eval()
    return Trained(program, session.task, preprocessing)


def _without_downloads(spec: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """A network's part of a recipe, without weights to begin with that would be downloaded."""
    if not isinstance(spec, dict):
        return spec
    spec = {key: _without_downloads(value) for key, value in spec.items()}
    if spec.get("class_path") in _DOWNLOADING:
        name, none = _DOWNLOADING[spec["class_path"]]
        spec["init_args"][name] = none
    return spec
