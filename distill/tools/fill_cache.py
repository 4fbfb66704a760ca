"""Fill a recipe's cache before anything is trained: ``distill cache``."""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from rich.console import Console

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules import Distillation
from distill.recipes import Tree
from distill.recipes.build import Built, build
from distill.runs.precision import settle_precision
from distill.runs.single import calm, open_data, own_settings


def fill(tree: Tree, trusted: Sequence[str] = (), console: Console | None = None) -> Path:
    """Let the teacher look at every view of a recipe's training that is not in its cache yet.

    With ``data.views`` these are that many epochs, without it all epochs of the training.

    Args:
        tree: What ``recipes.load`` returned; ``model.cache`` is ``auto`` where it says nothing.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        The cache's file.

    Raises:
        RecipeError: If the recipe is wrong, or no term of it reads from a teacher.
    """
    console = console or Console()
    built = build(_with_cache(tree), "runs", trusted)
    if not isinstance(built.model, Distillation):
        needed = "needs distill.modules.Distillation"
        raise RecipeError("model", f"{needed}, got {type(built.model).__name__}")
    settle_precision(built, console)
    with calm(), TemporaryDirectory() as folder:
        open_data(built)
        epochs = _epochs(built)
        console.print(f"views    {epochs} epochs of {len(built.data.train_dataloader())} batches")
        shown = built.trainer["enable_progress_bar"] is not False and console.is_terminal
        changes = {
            "max_epochs": epochs,
            "limit_val_batches": 0,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": shown,
            "callbacks": [RichProgressBar()] if shown else [],
        }
        warnings.filterwarnings("ignore", ".*will run with no optimizer.*")
        warnings.filterwarnings("ignore", ".*have no `validation_step`.*")
        filler = _Filler(built.model)
        pl.Trainer(**(own_settings(built, Path(folder)) | changes)).fit(filler, built.data)
    recall = built.model.recall
    if recall is None:
        raise RecipeError("model.losses", "no term reads from the teacher: nothing to keep")
    size = recall.store.path.stat().st_size / 2**20
    told = f"{recall.store.path}: {size:.1f} MiB, {recall.computed} batches computed"
    console.print(f"cache    {told}", highlight=False, soft_wrap=True)
    return recall.store.path


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
        """Look at a batch."""
        self.model.teacher_outputs(batch)

    def configure_optimizers(self) -> None:
        """Nothing is trained."""


def _with_cache(tree: Tree) -> Tree:
    tree = deepcopy(tree)
    arguments = tree["model"].get("init_args") if isinstance(tree.get("model"), dict) else None
    if isinstance(arguments, dict) and arguments.get("cache") is None:
        teacher = arguments.get("teacher")
        named = teacher.get("class_path", "") if isinstance(teacher, dict) else str(teacher)
        if not named.endswith(".Cached"):
            arguments["cache"] = "auto"
    return tree


def _epochs(built: Built) -> int:
    pipeline = getattr(built.data, "pipeline", None)
    if pipeline is None:
        needed = "needs a datamodule of distill.data"
        raise RecipeError("data", f"{needed}, got {type(built.data).__name__}")
    views = pipeline.views()
    if views.fixed:
        return 1
    epochs = int(views.repeat or built.trainer["max_epochs"] or 1)
    if epochs < 1:
        raise RecipeError("trainer.max_epochs", f"needs a number of epochs, got {epochs}")
    return epochs
