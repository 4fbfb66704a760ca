"""Settings of a recipe that no type refuses, but that train nothing or hang."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from distill.core.echo import shown
from distill.core.errors import RecipeError
from distill.core.walk import Node

MOST_WORKERS = 256
_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "limit_predict_batches": 0,
    "limit_test_batches": 0,
    "limit_val_batches": 0,
    "log_every_n_steps": 1,
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "num_nodes": 1,
    "num_sanity_val_steps": -1,
    "overfit_batches": 0,
    "reload_dataloaders_every_n_epochs": 0,
}
_ABOVE_ZERO = ("limit_train_batches", "val_check_interval")
_SHARES = (
    "limit_predict_batches",
    "limit_test_batches",
    "limit_train_batches",
    "limit_val_batches",
    "val_check_interval",
)
_ENDS = ("max_epochs", "max_steps", "max_time")
MEASURED = "auto"
"""In place of a precision: the faster one is measured before training."""


def named_precision(trainer: Any) -> Any:  # noqa: ANN401 - checked by whoever calls
    """The section ``trainer`` as Lightning takes it, with a precision in place of ``auto``."""
    measured = isinstance(trainer, Mapping) and trainer.get("precision") == MEASURED
    return {**trainer, "precision": None} if measured else trainer


def whole_numbers(trainer: Mapping[str, Any]) -> dict[str, int]:
    """The settings of ``trainer`` that count batches, where a whole number is given.

    1 is one batch, 1.0 all of them. Which of the two the parser makes of 1 depends on what was
    imported first: Python takes ``int | float`` for any earlier ``float | int``.
    """
    return {name: trainer[name] for name in _SHARES if type(trainer.get(name)) is int}


def check_settings(trainer: Mapping[str, Any]) -> None:
    """Check the numbers of ``trainer``.

    Args:
        trainer: The section, its types checked.

    Raises:
        RecipeError: For the first that is out of range.
    """
    for name, value in trainer.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_range(name, value)
    if trainer.get("fast_dev_run"):
        told = "leaves no run behind: set trainer.limit_train_batches and trainer.max_epochs"
        raise RecipeError("trainer.fast_dev_run", told)
    if trainer.get("overfit_batches"):
        told = "is not taken: batches are keyed; set data.train_samples to train on a few images"
        raise RecipeError("trainer.overfit_batches", told)
    _check_end(trainer)
    for most, least in (("max_epochs", "min_epochs"), ("max_steps", "min_steps")):
        bound, needed = trainer.get(most), trainer.get(least)
        if bound is not None and needed is not None and 0 <= bound < needed:
            raise RecipeError(f"trainer.{least}", f"must be at most {most} = {bound}, got {needed}")


def _check_range(name: str, value: float) -> None:
    key = f"trainer.{name}"
    if value < _LEAST.get(name, -math.inf):
        raise RecipeError(key, f"must be at least {_LEAST[name]}, got {value}")
    if name in _ABOVE_ZERO and value <= 0:
        raise RecipeError(key, f"must be above 0, got {value}")
    if name in _SHARES and isinstance(value, float) and value > 1:
        raise RecipeError(key, f"must be a whole number, or a share of at most 1, got {value}")


def _check_end(trainer: Mapping[str, Any]) -> None:
    """Training must do something, and end."""
    for name in ("max_epochs", "max_steps"):
        if trainer.get(name) == 0:
            raise RecipeError(f"trainer.{name}", "must be at least 1, got 0")
    given = {name: trainer[name] for name in _ENDS if name in trainer}
    if given and all(value in (None, -1) for value in given.values()):
        name, value = next(iter(given.items()))
        needed = "needs a number of at least 1, or training ends nowhere"
        raise RecipeError(f"trainer.{name}", f"{needed}: got {shown(value)}")


def check_terms(model: Mapping[str, Any]) -> None:
    """Check that there is something to train on.

    Args:
        model: The arguments of ``model``, their types checked.

    Raises:
        RecipeError: If ``losses`` is empty, or all weights are 0.
    """
    if "losses" not in model:
        return
    terms = model["losses"]
    if not terms:
        raise RecipeError("model.losses", "needs at least one term")
    weights = [term.get("weight", 1) for term in terms.values() if "loss" in term]
    if weights and not any(weights):
        raise RecipeError("model.losses", "needs a term whose weight is above 0")


def check_workers(nodes: Sequence[Node]) -> None:
    """Check the numbers of loader processes.

    Args:
        nodes: Every object that the recipe builds.

    Raises:
        RecipeError: For more than any machine takes.
    """
    for node in nodes:
        workers = node.arguments.get("workers")
        if isinstance(workers, int) and workers > MOST_WORKERS:
            told = f"must be at most {MOST_WORKERS}, got {workers}"
            raise RecipeError(f"{node.key}.workers", told)
