"""A learning rate and a batch size to begin with, by Lightning's Tuner."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.tuner.tuning import Tuner
from rich.console import Console

from distill.core.errors import NonFiniteError, RecipeError
from distill.data.keyed import KeyedData
from distill.recipes import Recipe, Tree
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import settle

_LARGEST_BATCH = 8192
_SKIPPED = 10


class Suggestion(NamedTuple):
    """What a short search found.

    Attributes:
        learning_rate: Where the loss falls most steeply while the rate is multiplied step by step,
            for the recipe's batch size; None if it falls nowhere.
        batch_size: The largest power of two times the recipe's that fits into memory.
    """

    learning_rate: float | None
    batch_size: int


def tune(
    recipe: Recipe | Tree,
    steps: int = 100,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Suggestion:
    """Search a learning rate and a batch size for a recipe; nothing is trained or kept.

    The learning rate is raised from 1e-6 to 1 over ``steps`` steps of the recipe's batch size. The
    batch size is doubled until memory runs out (which a CPU does not tell: there the search ends
    at a quarter of the training images, at most 8192).

    Args:
        recipe: The recipe.
        steps: Learning rates to try; at least 20.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Raises:
        RecipeError: If the recipe is wrong.
    """
    if steps < 20:
        raise RecipeError("--steps", f"needs at least 20, got {steps}")
    recipe, console = Recipe.of(recipe), console or Console()
    with quiet_lightning(), TemporaryDirectory() as folder:
        session = _fresh(recipe, Path(folder), trusted)
        own = _keyed(session).batch_size
        rate = _learning_rate(session, steps)
        size = _batch_size(_fresh(recipe, Path(folder), trusted))
    found = Suggestion(rate, size)
    told = "none found: the loss fell nowhere" if rate is None else f"{rate:.2g}"
    console.print(f"learning rate  {told}  (model.optimizer.lr, batch size {own})", highlight=False)
    console.print(f"batch size     {size}  (data.batch_size)", highlight=False)
    return found


def _fresh(recipe: Recipe, folder: Path, trusted: Sequence[str]) -> Session:
    """The recipe's objects, untouched, with a cache that is thrown away."""
    if recipe.get("model.cache") is not None:
        recipe = recipe.put("model.cache", str(folder / "cache.sqlite"))
    session = Session(recipe, folder, trusted)
    session.set_up_data()
    settle(session)
    return session


def _keyed(session: Session) -> KeyedData:
    data = session.datamodule
    if not isinstance(data, KeyedData):
        raise RecipeError("data", f"needs a datamodule of distill.data, got {type(data).__name__}")
    return data


def _trainer(session: Session) -> pl.Trainer:
    return session.bare_trainer(max_epochs=-1, plugins=[SafeCheckpointIO()])


def _learning_rate(session: Session, steps: int) -> float | None:
    try:
        finder = Tuner(_trainer(session)).lr_find(
            session.module,
            datamodule=session.datamodule,
            min_lr=1e-6,
            max_lr=1.0,
            num_training=steps,
            update_attr=False,
        )
    except NonFiniteError:
        return None
    return steepest(finder.results["lr"], finder.results["loss"]) if finder is not None else None


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The learning rate at which the loss falls most for the same factor of it.

    Lightning's own suggestion looks for the steepest fall over the rate itself: near the smallest
    rates, which are a ten-millionth apart, that is the noise between two batches.

    Args:
        rates: The rates that were tried, ascending.
        losses: The loss at each, averaged over those before.

    Returns:
        That rate; None if the loss falls nowhere or there are too few.
    """
    kept = slice(_SKIPPED, -1)  # the average has to settle, and the last step may be a leap
    values, powers = np.asarray(losses)[kept], np.log10(np.asarray(rates))[kept]
    if len(values) < 3:
        return None
    slopes = np.gradient(values, powers)
    return float(rates[_SKIPPED + int(slopes.argmin())]) if slopes.min() < 0 else None


def _batch_size(session: Session) -> int:
    data, trainer = _keyed(session), _trainer(session)
    first = top = data.batch_size
    images = data.sizes()["train"]
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    limit = min(_LARGEST_BATCH, images // 4 if on_cpu else images)
    while 2 * top <= limit:
        top *= 2
    if top == first:
        return first
    # The search breaks off at max_val before it has tried it.
    found = Tuner(trainer).scale_batch_size(
        session.module, datamodule=data, init_val=first, max_val=2 * top
    )
    return min(found or first, top)
