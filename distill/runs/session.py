"""A recipe opened for a purpose: its objects, checked, with a trainer to run them."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console

from distill.core.errors import RecipeError, UnreadableImage
from distill.core.protocols import RunModule, Seeded
from distill.recipes import Recipe, Tree
from distill.recipes.build import build
from distill.runs.precision import resolve_precision
from distill.runs.progress_bar import bars
from distill.tasks import ImageData, Task

_GUIDE = "see docs/extending.md"


class Session:
    """A recipe's objects, built once: what training, testing, tuning and the others begin with.

    Building has no side effect. ``set_up_data`` opens the data; ``trainer`` gives a trainer.

    Args:
        recipe: The recipe.
        run_dir: Lightning's folder, where loggers write too.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print a note on a precision that this machine lacks.

    Attributes:
        model: The module; so typed that both Lightning's side and ours are known.
        data: The datamodule.
        settings: Arguments of the Trainer, with the toolkit's defaults.
        config: The recipe, resolved, defaults filled in, with the precision that is used.
        nodes: The places where its objects are built.

    Raises:
        RecipeError: If the recipe is wrong, or its module or datamodule lacks what a run needs.
    """

    def __init__(
        self,
        recipe: Recipe | Tree,
        run_dir: Path,
        trusted: Sequence[str] = (),
        console: Console | None = None,
    ) -> None:
        built = build(Recipe.of(recipe), str(run_dir), trusted)
        self._model, self._data = built.model, built.data
        self.run_dir = run_dir
        note = resolve_precision(built)
        if note and console is not None:
            console.print(note)
        self.config, self.nodes = built.config, built.nodes
        self.settings = trainer_kwargs(built.trainer, run_dir, _is_foreign(built.model))
        self.model: RunModule = _checked_module(built.model)
        self.data: ImageData = _checked_data(built.data)
        for part in (built.model, built.data):
            if isinstance(part, Seeded):
                part.seed = built.config.seed

    @property
    def module(self) -> pl.LightningModule:
        """The module, as Lightning knows it."""
        return self._model

    @property
    def datamodule(self) -> pl.LightningDataModule:
        """The datamodule, as Lightning knows it."""
        return self._data

    @property
    def task(self) -> Task:
        """What the labels mean."""
        return self.data.task

    def set_up_data(self) -> None:
        """Open the training data, so that what is wrong with them is told before training.

        Raises:
            RecipeError: If they cannot be read, or make no batch.
        """
        try:
            self._data.setup("fit")
            batches = len(self._data.train_dataloader())
        except ValueError as error:
            raise RecipeError("data", str(error)) from error
        if self.settings["log_every_n_steps"] is None:
            self.settings["log_every_n_steps"] = min(50, batches)

    def trainer(self, **changes: Any) -> pl.Trainer:  # noqa: ANN401 - Lightning's own arguments
        """A trainer with the recipe's settings.

        Args:
            changes: Arguments that replace the recipe's.

        Raises:
            RecipeError: If Lightning refuses them.
        """
        try:
            return pl.Trainer(**(self.settings | changes))
        except Exception as error:  # Lightning's own, and those of what it does not find
            raise RecipeError("trainer", " ".join(str(error).split())) from error

    def bare_trainer(self, **changes: Any) -> pl.Trainer:  # noqa: ANN401 - Lightning's
        """A trainer without the recipe's loggers and callbacks, which keeps nothing."""
        plain = {"logger": False, "callbacks": [], "enable_checkpointing": False}
        if bars(listed(self.settings["callbacks"])):
            plain["enable_progress_bar"] = False
        return self.trainer(**(plain | changes))


def trainer_kwargs(given: dict[str, Any], run_dir: Path, foreign: bool = False) -> dict[str, Any]:
    """The recipe's arguments of the Trainer, with the toolkit's defaults and what it insists on.

    Args:
        given: The recipe's.
        run_dir: Lightning's folder.
        foreign: Whether the module is not one of ours, so that a batch shows what it logs.
    """
    defaults = {
        "num_sanity_val_steps": int(foreign),  # the dry run of our modules does more
        "enable_model_summary": False,
        "enable_progress_bar": sys.stdout.isatty(),
    }
    set_ones = {name: value for name, value in given.items() if value is not None}
    insisted: dict[str, Any] = {
        "default_root_dir": run_dir,
        "use_distributed_sampler": False,  # the keyed sampler shares batches among processes
    }
    if bars(listed(given["callbacks"])):  # a bar of one's own is wanted, whatever the terminal is
        insisted["enable_progress_bar"] = True
    return given | defaults | set_ones | insisted


def listed(given: object) -> list[Any]:
    """Lightning's ``None``, ``True``, one object or a list of them as a list of objects."""
    if given is None or isinstance(given, bool):
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _is_foreign(module: pl.LightningModule) -> bool:
    return not type(module).__module__.startswith("distill.")


def _checked_module(module: pl.LightningModule) -> RunModule:
    if isinstance(module, RunModule):
        return module
    raise _lacking("model", module, ("student", "teacher", "networks", "evaluation", "outputs_of"))


def _checked_data(data: pl.LightningDataModule) -> ImageData:
    if isinstance(data, ImageData):
        return data
    names = ("task", "classes", "mean", "std", "example", "sizes", "on_after_batch_transfer")
    raise _lacking("data", data, names)


def _lacking(key: str, part: object, names: Sequence[str]) -> RecipeError:
    missing = ", ".join(name for name in names if not hasattr(part, name))
    return RecipeError(key, f"{type(part).__name__} lacks {missing}, which a run needs: {_GUIDE}")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notes on hardware and tips to itself."""
    names = ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in (*names, "lightning_fabric.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # The in-memory loaders need no workers.
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # A resumed run goes on in its own directory.
            warnings.filterwarnings("ignore", ".*exists and is not empty.*")
            # Whatever is in evaluation mode then, the recipe says so: MutualLearning.trained_parts.
            warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
            # Nothing was validated since a run went on; names that nobody logs are refused before.
            warnings.filterwarnings("ignore", ".*could not find the monitored key.*")
            # The decoder says which image it is.
            warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
            # Lightning calls a pytree function that torch 2.14 deprecates.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def data_errors() -> Iterator[None]:
    """Tell an image that cannot be read, or a batch too small for a batch norm, in one line."""
    try:
        yield
    except UnreadableImage as error:
        raise RecipeError("data", str(error)) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        message = f"is too small for a batch norm: {error}"
        raise RecipeError("data.batch_size", message) from error
