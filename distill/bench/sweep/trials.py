"""One trial of a sweep: its recipe, its run and its row of the table."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import recipes
from distill.bench.sweep.hyperband import stopped_at
from distill.bench.sweep.spec import Sweep
from distill.bench.sweep.trial_queue import Trial
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes import Recipe
from distill.results.ranking import Metric, Row
from distill.results.scores import scores_of
from distill.runs.repeatable import RepeatableRun, digest
from distill.runs.table_precision import TablePrecision

_WANDB = "WandbLogger"


@dataclass(frozen=True)
class Plan:
    """A sweep in a folder.

    Attributes:
        sweep: The file's content.
        out: Folder of its trials and tables.
        overrides: ``dotted.key=value`` each, for every trial, before its parameters.
        seed: Of the search.
        trusted: Further packages whose classes the recipe may name.
        precisions: What was measured for its students; None while nothing is trained.
    """

    sweep: Sweep
    out: Path
    overrides: tuple[str, ...]
    seed: int
    trusted: tuple[str, ...] = ()
    precisions: TablePrecision | None = None

    def digest(self) -> str:
        """SHA-256 of what its trials depend on; not of their number, which may grow later."""
        sweep = self.sweep
        given = (*sweep.command.overrides, *self.overrides)
        recipe = Recipe(recipes.load(recipes.find(sweep.command.recipe), given))
        fields = [digest(recipe, ""), sweep.method]
        fields += [str(sweep.metric), str(sweep.early_terminate), sweep.written, str(self.seed)]
        return hashlib.sha256("\n".join(fields).encode()).hexdigest()

    def run(self, trial: Trial) -> RepeatableRun:
        """Make the run of a trial.

        Raises:
            RecipeError: If the recipe or a parameter's key is wrong.
        """
        command = self.sweep.command
        run_dir = self.out / f"trial{trial.number:03d}"
        varied = [f"{key}={json.dumps(value)}" for key, value in trial.parameters.items()]
        path = recipes.find(command.recipe)
        recipe = Recipe(recipes.load(path, [*command.overrides, *self.overrides, *varied]))
        key = digest(recipe, "")
        recipe = _stopped_early(logged_to_group(recipe, self.sweep, trial), self.sweep, run_dir)
        run = RepeatableRun(recipe, run_dir, command.recipe, key, self.trusted)
        return self.precisions.of(run) if self.precisions else run


def logged_to_group(recipe: Recipe, sweep: Sweep, trial: Trial) -> Recipe:
    """Name the trial's W&B run, where the recipe logs to W&B.

    The group is written into the logger: there it holds for any process, whereas one that has
    connected to W&B before no longer reads WANDB_RUN_GROUP.
    """
    loggers = deepcopy(recipe.loggers)
    for logger in loggers:
        if str(logger.get("class_path")).endswith(f".{_WANDB}"):
            arguments = logger["init_args"]
            arguments |= {"group": sweep.name, "name": f"trial{trial.number:03d}"}
            arguments |= {"id": trial.wandb_id, "resume": "allow"}
            if sweep.project:
                arguments.setdefault("project", sweep.project)
    return recipe.with_loggers(loggers)


def _stopped_early(recipe: Recipe, sweep: Sweep, run_dir: Path) -> Recipe:
    if sweep.early_terminate is None:
        return recipe
    return recipe.with_callback(
        "distill.bench.sweep.Hyperband",
        run_dir=str(run_dir),
        metric=sweep.metric.name,
        goal=sweep.metric.goal,
        brackets=list(sweep.early_terminate.brackets),
        eta=sweep.early_terminate.eta,
        strict=sweep.early_terminate.strict,
    )


def row(trial: Trial, run: RepeatableRun, metric: Metric) -> Row:
    """Make a trial's row of ``results.csv``; one that diverged has its parameters alone.

    Raises:
        RecipeError: If the run did not log the metric.
    """
    result = run.result()
    found: Row = {"trial": trial.number, "state": "diverged", "run_dir": str(run.run_dir)}
    found |= trial.parameters
    if result is None:
        return found
    values = history(run.run_dir / "metrics.csv", metric.name)
    test = scores_of(result, "student").get("test", {})
    return found | {
        "state": "stopped" if stopped_at(run.run_dir) else "finished",
        "epochs": result["epochs"],
        "value": values[-1],
        "best": metric.best(values),
        "test_last": test.get("last"),
        "test_best": test.get("best"),
        "wall_s": result["wall_s"],
    }


def columns(parameters: Mapping[str, Any]) -> Sequence[str]:
    """List the columns of ``results.csv``."""
    results = ("trial", "state", "epochs", "value", "best", "test_last", "test_best")
    return (*results, *parameters, "wall_s", "run_dir")


def history(path: Path, metric: str) -> list[float]:
    """Read a metric's values from a ``metrics.csv``, in order.

    Raises:
        RecipeError: If it was never logged.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = [float(line[metric]) for line in rows if line.get(metric)]
    if not values:
        known = nearest(metric, rows[0] if rows else ())
        raise RecipeError("metric.name", f"no run logs {metric!r}{known}")
    return values
