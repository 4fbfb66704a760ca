"""Fill a recipe's cache before anything is trained: ``distill cache``."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
from rich.console import Console

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.data.keyed import KeyedData
from distill.modules import Distillation
from distill.recipes import Recipe, Tree
from distill.runs.progress_bar import EpochBar
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import settle

_CACHED = "teachers.Cached"


def fill(
    recipe: Recipe | Tree, trusted: Sequence[str] = (), console: Console | None = None
) -> Path | str:
    """Run the teacher on every view of a recipe's training that is not in its cache yet.

    With ``data.views`` these are that many epochs, without it all epochs of the training.

    Args:
        recipe: The recipe; ``model.cache`` is ``auto`` where it says nothing.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        The cache's file, or its folder of shards, or the URL of that.

    Raises:
        RecipeError: If the recipe is wrong, or no term of it reads from a teacher.
    """
    console = console or Console()
    recipe = _with_cache(Recipe.of(recipe))
    with quiet_lightning(), TemporaryDirectory() as folder:
        session = Session(recipe, Path(folder), trusted, console)
        model, data = session.module, session.datamodule
        if not isinstance(model, Distillation):
            needed = "needs distill.modules.Distillation"
            raise RecipeError("model", f"{needed}, got {type(model).__name__}")
        if not isinstance(data, KeyedData):
            needed = "needs a datamodule of distill.data"
            raise RecipeError("data", f"{needed}, got {type(data).__name__}")
        session.set_up_data()
        settle(session, console)
        epochs = _epochs(session, data)
        console.print(f"views    {epochs} epochs of {len(data.train_dataloader())} batches")
        shown = session.settings["enable_progress_bar"] is not False and console.is_terminal
        warnings.filterwarnings("ignore", ".*will run with no optimizer.*")
        warnings.filterwarnings("ignore", ".*have no `validation_step`.*")
        trainer = session.bare_trainer(
            max_epochs=epochs,
            limit_val_batches=0,
            enable_progress_bar=shown,
            callbacks=[EpochBar()] if shown else [],
        )
        trainer.fit(_Filler(model), data)
    cache = model.teaching.cache
    if cache is None:
        raise RecipeError("model.losses", "no term reads from the teacher: nothing to keep")
    size = cache.store.size() / 2**20
    message = f"{cache.store.path}: {size:.1f} MiB, {cache.misses} batches computed"
    console.print(f"cache    {message}", highlight=False, soft_wrap=True)
    return cache.store.path


class _Filler(pl.LightningModule):
    """Runs the teacher's half of a training step on every training batch."""

    def __init__(self, model: Distillation) -> None:
        super().__init__()
        self.model = model
        self.automatic_optimization = False

    def setup(self, stage: str) -> None:
        """Check the wiring and open the cache."""
        self.model.setup(stage)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Run the teacher on a batch."""
        self.model.teacher_context(batch)

    def on_train_epoch_end(self) -> None:
        """Write what the cache holds back."""
        self.model.teaching.keep()

    def configure_optimizers(self) -> None:
        """Nothing is trained."""


def _with_cache(recipe: Recipe) -> Recipe:
    teacher = recipe.get("model.teacher")
    named = teacher.get("class_path") if isinstance(teacher, dict) else teacher
    if named == _CACHED or recipe.get("model.cache") is not None:
        return recipe
    return recipe.put("model.cache", "auto")


def _epochs(session: Session, data: KeyedData) -> int:
    views = data.pipeline.views()
    if views.fixed:
        return 1
    epochs = int(views.repeat or session.settings["max_epochs"] or 1)
    if epochs < 1:
        raise RecipeError("trainer.max_epochs", f"needs a number of epochs, got {epochs}")
    return epochs
