"""Training from Python: a recipe, or networks, losses and data of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.seed import isolate_rng
from rich.console import Console
from torch import nn

from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes import Recipe, Tree
from distill.results.scores import metric_of, scores_of
from distill.runs import fit as train
from distill.runs.result import Result
from distill.tools.fit_parts import Loaders, Parts, fit_parts
from distill.tools.load_student import load_student
from distill.wiring.term import Term

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        student: The trained student, in evaluation mode. Of a recipe it is what ``load_student``
            gives; of parts it is the network that was given, which takes what its loader gives.
        metrics: Figures in percent by name: ``val/top1``, ``val/top1/best`` (of the best epoch),
            ``val/top1/teacher``, and ``test/...`` where there are test images.
        run_dir: Where the run's files are.
    """

    student: nn.Module
    metrics: dict[str, float]
    run_dir: Path

    def to_pandas(self) -> "pd.DataFrame":
        """The curves, ``metrics.csv``, as a table: a row for each time that something was logged.

        Raises:
            RecipeError: If pandas is missing.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise RecipeError("to_pandas", "needs pandas: pip install pandas") from error
        return pd.read_csv(self.run_dir / "metrics.csv")


def fit(  # noqa: PLR0913 - two ways to say what to train, by name
    recipe: Recipe | Mapping[str, Any] | Path | str | None = None,
    *,
    run_dir: Path | str,
    student: nn.Module | None = None,
    teacher: nn.Module | None = None,
    losses: Mapping[str, Term] | None = None,
    data: pl.LightningDataModule | Loaders | None = None,
    overrides: Mapping[str, Any] | None = None,
    trusted: Sequence[str] = (),
    verbose: bool = False,
    **dotted: Any,  # noqa: ANN401 - values of a recipe
) -> Fitted:
    """Train what a recipe describes, as ``distill fit`` does; or parts that are Python objects.

    A recipe leaves a whole run, which can be resumed, tested, exported and loaded. Objects cannot
    be written into a ``config.yaml``: of ``student``, ``teacher``, ``losses`` and ``data`` a
    training leaves ``metrics.csv`` and ``student.safetensors``, and no more. Random generators,
    handlers of signals and, unless ``verbose``, the output stay as they were.

    Args:
        recipe: The name of a recipe that comes with the toolkit, a file, a recipe, or its sections
            as plain values. None: the parts are given.
        run_dir: Where files go: a folder that holds no run yet.
        student: Instead of a recipe: the network that is trained.
        teacher: The network that gives targets; None trains the student alone.
        losses: The terms by name, see :class:`~distill.modules.Term`.
        data: A datamodule, or loaders of (image, label): ``train``, ``(train, val)``. Images are
            (b, c, h, w), uint8 or floating point, labels class numbers (b,).
        overrides: Values by dotted key, as on the command line: ``{"trainer.max_epochs": 2}``. With
            parts, ``model.NAME`` is an argument of ``Distillation`` and ``trainer.NAME`` one of
            Lightning's Trainer.
        trusted: Further packages whose classes the recipe may name.
        verbose: Print what the command prints.
        dotted: More overrides, with ``__`` for the dot: ``trainer__max_epochs=2``.

    Returns:
        The student, its figures, and where the files are.

    Raises:
        RecipeError: If something in the recipe, the overrides or the parts is wrong; no run
            directory is left then.
        NonFiniteError: If a loss became infinite or NaN.
        Interrupted: After a signal; a checkpoint was saved.

    Example:
        >>> fit("digits/kdd", run_dir="runs/mine")
        Traceback (most recent call last):
        distill.core.errors.RecipeError: digits/kdd: no such recipe, did you mean 'digits/kd'?
    """
    changes = dict(overrides or {}) | {k.replace("__", "."): value for k, value in dotted.items()}
    run_dir = Path(run_dir)
    parts = (student, teacher, losses, data)
    if recipe is not None:
        if any(part is not None for part in parts):
            raise RecipeError("fit", "takes a recipe, or student, teacher, losses and data")
        return _fit_recipe(recipe, run_dir, changes, trusted, verbose)
    if student is None or losses is None or data is None:
        raise RecipeError("fit", "needs a recipe, or student, losses and data, and maybe teacher")
    given = Parts(student, teacher, dict(losses), data)
    with isolate_rng():
        metrics = fit_parts(given, run_dir, changes, verbose)
    return Fitted(student.eval(), metrics, run_dir)


def _fit_recipe(
    recipe: Recipe | Mapping[str, Any] | Path | str,
    run_dir: Path,
    changes: Mapping[str, Any],
    trusted: Sequence[str],
    verbose: bool,
) -> Fitted:
    name = ""
    if isinstance(recipe, (str, Path)):
        path = recipes.find(str(recipe))
        tree, name = recipes.read(path), recipes.name_of(path)
    else:
        tree = _plain_tree(recipe.tree if isinstance(recipe, Recipe) else recipe)
    plain = {key: _plain(key, value) for key, value in changes.items()}
    whole = Recipe(recipes.complete(tree, plain))
    if not verbose and whole.get("trainer.enable_progress_bar") is None:
        whole = whole.put("trainer.enable_progress_bar", False)
    console = None if verbose else Console(quiet=True)
    with isolate_rng():
        result = train(whole, run_dir, name=name, trusted=trusted, console=console)
    return Fitted(load_student(run_dir, trusted=trusted), _figures(result), run_dir)


def _figures(result: Result) -> dict[str, float]:
    metric, found = metric_of(result), {}
    for stage, values in scores_of(result, "student").items():
        if values:
            found[f"{stage}/{metric}"] = float(values["last"])
            found[f"{stage}/{metric}/best"] = float(values["best"])
    for stage, values in scores_of(result, "teacher").items():
        if values:
            found[f"{stage}/{metric}/teacher"] = float(values["last"])
    return found


def _plain_tree(tree: Mapping[str, Any]) -> Tree:
    return {str(name): _plain(str(name), value) for name, value in tree.items()}


def _plain(key: str, value: object) -> Any:  # noqa: ANN401 - any value of a recipe
    """A value as YAML would hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{key}.{place}", inner) for place, inner in enumerate(value)]
    told = f"a recipe has plain values, got a {type(value).__name__}"
    raise RecipeError(key, f"{told}: give objects as student, teacher, losses and data")
