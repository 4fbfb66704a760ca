"""What a recipe's augmentations do to its first training samples, as a picture."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from distill.augment.sheet import contact_sheet
from distill.core.errors import RecipeError
from distill.data.datasets import BatchKey
from distill.data.keyed import KeyedData
from distill.recipes import Recipe, Tree
from distill.runs.session import Session


def preview(
    recipe: Recipe | Tree, rows: int = 8, views: int = 6, trusted: Sequence[str] = ()
) -> Image.Image:
    """A contact sheet of the original samples and of their views in the first epochs.

    The views are those of a run with the recipe's seed, unless images of a batch are mixed: then
    the partners come from these few. Sizes drawn for each step are those of the epochs' first.

    Args:
        recipe: The recipe; its teacher need not be there.
        rows: How many samples.
        views: How many epochs.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: If the recipe is wrong or its images cannot be read.
    """
    recipe = Recipe.of(recipe)
    if recipe.get("model.teacher") is not None:
        recipe = recipe.put("model.teacher", None)
    session = Session(recipe, Path("runs"), trusted)
    data = session.datamodule
    if not isinstance(data, KeyedData):
        raise RecipeError("data", f"needs a datamodule of distill.data, got {type(data).__name__}")
    session.set_up_data()
    pipeline, columns = data.pipeline, {"original": data.example(rows)}
    steps = len(data.train_dataloader())
    shown = pipeline.views()
    for epoch in range(views):
        view = shown.of_epoch(epoch)
        step = (view if shown.mixed else epoch) * steps
        key = BatchKey(view, columns["original"].index, step=step)
        try:
            columns[f"epoch {epoch}"] = pipeline.augmented(pipeline.batch(key))
        except ValueError as error:
            raise RecipeError("data.augment", str(error)) from error
    return contact_sheet(columns, partial(session.task.caption, classes=data.classes))
