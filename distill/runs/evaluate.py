"""Tests the student of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from distill.core.errors import RecipeError
from distill.core.files import write_json
from distill.core.protocols import SavesNetworks
from distill.core.suggest import difference
from distill.recipes import Recipe
from distill.recipes.stages import last_stage
from distill.runs.directory import load_weights, read_finished
from distill.runs.exported import measure_file
from distill.runs.initial_student import opened
from distill.runs.result import Result, measure
from distill.runs.session import Session, data_errors, quiet_lightning


def evaluate(
    run_dir: Path,
    source: str | None = None,
    trusted: Sequence[str] = (),
    console: Console | None = None,
    image_size: int | None = None,
    file: Path | None = None,
) -> Result:
    """Test the student of a finished run.

    Args:
        run_dir: The run.
        source: Test images, where they are not the recipe's.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.
        image_size: Height and width to resize the images to, where not as in the recipe.
        file: An exported ONNX file of it, to be tested beside it.

    Returns:
        What was written to ``test.json``: figures in percent, and what they were measured on.

    Raises:
        RecipeError: If there is no finished run or such file, or the images do not fit it.
    """
    console = console or Console()
    written, trained = read_finished(run_dir)
    recipe = opened(last_stage(written))
    if source is not None:
        recipe = _tested_on(recipe, source, trained["dataset"]["classes"])
    if image_size is not None:
        recipe = recipe.put(f"{_place(recipe)}.image_size", image_size)
    with quiet_lightning(), data_errors():
        session = Session(recipe, run_dir, trusted, console)
        load_weights(session.model.student, run_dir / "student.safetensors")
        if isinstance(session.model, SavesNetworks):
            for name, network in session.model.saved_networks.items():
                if (run_dir / name).is_file():
                    load_weights(network, run_dir / name)
        _set_up_test_images(session, trained["dataset"]["classes"])
        exported = {} if file is None else {"file": measure_file(file, session)}
        measured = measure(session.bare_trainer(), session) | exported
    where = source or "the recipe's test images"
    metric = session.task.metric
    result = {"source": where, "images": session.data.sizes()["test"], metric: measured}
    if file is not None:
        result["file"] = str(file)
    write_json(run_dir / "test.json", result)
    for which, value in measured.items():
        line = f"{which:8} {metric} {value:.2f} % of {result['images']} images, {where}"
        console.print(line, highlight=False, soft_wrap=True)
    return result


def _tested_on(recipe: Recipe, source: str, classes: Sequence[str]) -> Recipe:
    """Test images for a datamodule, or for the one that it takes its images from.

    Where it can be told the order of its classes, that is the run's.
    """
    place = _place(recipe)
    recipe = recipe.put(f"{place}.test", source)
    if "classes" in recipe.get(f"{place}.init_args", {}):
        recipe = recipe.put(f"{place}.classes", list(classes))
    return recipe


def _place(recipe: Recipe) -> str:
    inner = isinstance(recipe.get("data.images"), dict) and recipe.get("data.test") is None
    return "data.images" if inner else "data"


def _set_up_test_images(session: Session, trained: Sequence[str]) -> None:
    try:
        session.datamodule.setup("test")
    except ValueError as error:
        raise RecipeError("data.test", str(error)) from error
    tested = session.data.classes
    if told := difference(trained, tested):
        counts = f"the run has {len(trained)} classes, the images {len(tested)}"
        raise RecipeError("data.test", f"{counts}; {told}")
