"""Trains what a recipe describes, in stages if it has some."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from distill.core.rank import first_process
from distill.core.trust import trusting
from distill.recipes import Recipe, Tree
from distill.runs.result import Result
from distill.runs.settle import as_begun, launched
from distill.runs.single import fit_single
from distill.runs.staged import fit_stages


def fit(
    recipe: Recipe | Tree | Path | str,
    run_dir: Path,
    *,
    name: str = "",
    resume: bool = False,
    trusted: Sequence[str] = (),
    console: Console | None = None,
    overwrite: bool = False,
) -> Result:
    """Train what a recipe describes, in stages if it has some.

    Args:
        recipe: A recipe, its tree, or the file or shipped recipe of that name.
        run_dir: Where the run's files go.
        name: What to call the recipe in ``result.json``.
        resume: Go on from the newest valid checkpoint in ``run_dir``.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.
        overwrite: Start anew where ``run_dir`` holds a run: what that wrote is removed, no other
            file is, and nothing if the recipe turns out wrong.

    Returns:
        What was written to ``result.json``.

    Raises:
        RecipeError: If the recipe is wrong; no run directory is left then.
        NonFiniteError: If a loss became infinite or NaN.
        Interrupted: After a signal; a checkpoint was saved.
    """
    recipe = Recipe.of(recipe)
    if resume or launched():
        recipe = as_begun(recipe, run_dir)
    console = console or Console(quiet=not first_process())
    train = fit_stages if recipe.staged else fit_single
    with trusting(trusted):
        return train(recipe, run_dir, name, resume, trusted, console, overwrite)
