"""What a run says of the student that it begins with, and what it doubts of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from distill.callbacks import Sparsify, WarmStart
from distill.compress.cost import is_quantized
from distill.core.initial_weights import standing_alone, untrained
from distill.recipes import Recipe, read
from distill.runs.session import Session, listed

_STUDENT = "model.student"
_MANY = 0.5
"""The share of zeros from which on weights of a layer were made sparse."""


def opened(recipe: Recipe) -> Recipe:
    """The recipe of a run whose student's weights are loaded once it is built."""
    student = recipe.get(_STUDENT)
    return recipe.put(_STUDENT, untrained(student)) if isinstance(student, Mapping) else recipe


def recorded(config: Recipe, run_dir: Path, resumed: bool) -> Recipe:
    """The recipe as ``config.yaml`` tells it: runs that the student begins from are spelled out.

    Args:
        config: The run's.
        run_dir: The run.
        resumed: Whether it goes on, and says already where it began.
    """
    student, written = config.get(_STUDENT), run_dir / "config.yaml"
    if resumed and written.is_file():
        student = Recipe(read(written)).get(_STUDENT)
    alone: Any = standing_alone(student)
    return config.put(_STUDENT, alone) if isinstance(student, Mapping) else config


def take_weights(session: Session, checkpoint: Path) -> None:
    """Give a student a checkpoint's weights, and so their widths, before anything is rehearsed."""
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    own = {n.removeprefix("student."): v for n, v in state.items() if n.startswith("student.")}
    session.model.student.load_state_dict(own)


def doubts(session: Session) -> list[str]:
    """What speaks against the student that a run begins with, a line each.

    Few bits do not train from scratch, and zeros that nothing keeps are trained away.
    """
    student, callbacks = session.model.student, listed(session.settings["callbacks"])
    found = []
    if is_quantized(student) and _is_new(student) and not _any(callbacks, WarmStart):
        told = "few bits do not train from scratch, and this student is quantised but not trained"
        found.append(f"{told}: begin with teachers.from_run, or train a stage before")
    sparse = [name for name, weight in student.named_parameters() if _is_sparse(weight)]
    if sparse and not _any(callbacks, Sparsify):
        told = "distill.callbacks.Sparsify would keep them"
        found.append(f"{sparse[0]} is mostly zeros, which training fills: {told}")
    return found


def _is_new(network: nn.Module) -> bool:
    """Whether a batch norm never saw a batch; without one nothing tells."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    means = [norm.running_mean for norm in norms if norm.running_mean is not None]
    return bool(means) and not any(bool(mean.any()) for mean in means)


def _is_sparse(weight: torch.Tensor) -> bool:
    return weight.dim() > 1 and int(weight.count_nonzero()) < _MANY * weight.numel()


def _any(callbacks: list[Any], kind: type) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
