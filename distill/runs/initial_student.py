"""What a run says of its student: enough to be opened where the run that it began from is gone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from distill.core.initial_weights import standing_alone, untrained
from distill.recipes import Recipe, read
from distill.runs.session import Session

_STUDENT = "model.student"


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
