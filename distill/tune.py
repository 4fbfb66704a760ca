"""A learning rate and a batch size to begin with, by Lightning's Tuner."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner.tuning import Tuner
from rich.console import Console

from distill.build import Built, build
from distill.callbacks import SafeCheckpointIO
from distill.errors import NonFiniteError, RecipeError
from distill.precision import settle_precision
from distill.recipes import Tree
from distill.run import calm, open_data, own_settings

_LARGEST_BATCH = 8192


class Suggestion(NamedTuple):
    """What a short search found.

    Attributes:
        learning_rate: Where the loss falls most steeply while the rate grows; None if nowhere.
        batch_size: The largest power of two times the recipe's that fits into memory.
    """

    learning_rate: float | None
    batch_size: int


def tune(
    tree: Tree, steps: int = 100, trusted: Sequence[str] = (), console: Console | None = None
) -> Suggestion:
    """Search a learning rate and a batch size for a recipe; nothing is trained or kept.

    The learning rate is raised from 1e-6 to 1 over ``steps`` steps of the recipe's batch size. The
    batch size is doubled until memory runs out (which a CPU does not tell: there the search ends
    at a quarter of the training images, at most 8192).

    Args:
        tree: What ``recipes.load`` returned.
        steps: Learning rates to try; at least 20.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Raises:
        RecipeError: If the recipe is wrong.
    """
    if steps < 20:
        raise RecipeError("--steps", f"needs at least 20, got {steps}")
    console = console or Console()
    with calm(), TemporaryDirectory() as folder:
        rate = _learning_rate(*_fresh(tree, Path(folder), trusted), steps)
        size = _batch_size(*_fresh(tree, Path(folder), trusted))
    found = Suggestion(rate, size)
    told = "none found: the loss fell nowhere" if rate is None else f"{rate:.2g}"
    console.print(f"learning rate  {told}  (model.optimizer.lr)", highlight=False)
    console.print(f"batch size     {size}  (data.batch_size)", highlight=False)
    return found


def _fresh(tree: Tree, folder: Path, trusted: Sequence[str]) -> tuple[Built, pl.Trainer]:
    """The recipe's objects, untouched, and a trainer without its callbacks and loggers."""
    built = build(tree, str(folder), trusted)
    settle_precision(built, Console(quiet=True))
    open_data(built)
    plain = {"logger": False, "callbacks": None, "enable_checkpointing": False, "max_epochs": -1}
    settings = own_settings(built, folder) | plain | {"plugins": [SafeCheckpointIO()]}
    return built, pl.Trainer(**settings)


def _learning_rate(built: Built, trainer: pl.Trainer, steps: int) -> float | None:
    try:
        finder = Tuner(trainer).lr_find(
            built.model,
            datamodule=built.data,
            min_lr=1e-6,
            max_lr=1.0,
            num_training=steps,
            update_attr=False,
        )
    except NonFiniteError:
        return None
    return finder.suggestion() if finder is not None else None


def _batch_size(built: Built, trainer: pl.Trainer) -> int:
    first = top = built.data.batch_size
    images = len(built.data.pipeline.train.ids)
    limit = min(_LARGEST_BATCH, images if torch.cuda.is_available() else images // 4)
    while 2 * top <= limit:
        top *= 2
    if top == first:
        return int(first)
    # The search breaks off at max_val before it has tried it.
    found = Tuner(trainer).scale_batch_size(
        built.model, datamodule=built.data, init_val=first, max_val=2 * top
    )
    return int(min(found or first, top))
