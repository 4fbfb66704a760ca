"""What a recipe's augmentations do to its first training samples, as a picture."""

from collections.abc import Sequence
from copy import deepcopy

from PIL import Image

from distill.augment.sheet import contact_sheet
from distill.core.errors import RecipeError
from distill.data.datasets import BatchKey
from distill.recipes import Tree
from distill.recipes.build import build


def preview(tree: Tree, rows: int = 8, views: int = 6, trusted: Sequence[str] = ()) -> Image.Image:
    """A contact sheet of the original samples and of their views in the first epochs.

    The views are those of a run with the recipe's seed, unless images of a batch are mixed: then
    the partners come from these few. Sizes drawn for each step are those of the epochs' first.

    Args:
        tree: What ``recipes.load`` returned. Its teacher need not be there.
        rows: How many samples.
        views: How many epochs.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: If the recipe is wrong or its images cannot be read.
    """
    tree = deepcopy(tree)
    arguments = tree["model"].get("init_args") if isinstance(tree.get("model"), dict) else None
    if isinstance(arguments, dict) and "teacher" in arguments:
        arguments["teacher"] = None
    data = build(tree, "runs", trusted).data
    pipeline = getattr(data, "pipeline", None)
    if pipeline is None:
        raise RecipeError("data", f"needs a datamodule of distill.data, got {type(data).__name__}")
    try:
        data.setup("fit")
        columns = {"original": data.example(rows)}
        steps = len(data.train_dataloader())
    except ValueError as error:
        raise RecipeError("data", str(error)) from error
    shown = pipeline.views()
    for epoch in range(views):
        view = shown.of_epoch(epoch)
        step = (view if shown.mixed else epoch) * steps
        key = BatchKey(view, columns["original"].index, step=step)
        try:
            columns[f"epoch {epoch}"] = pipeline.augmented(pipeline.train[key])
        except ValueError as error:
            raise RecipeError("data.augment", str(error)) from error
    return contact_sheet(columns, data.classes)
