"""The parameters of finalists, tuned: each gets the same number of trials, by hand or not."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from rich.console import Console

from distill.bench.processes import Task, run_tasks
from distill.bench.runner import RunsFailedError
from distill.bench.sweep.runner import sweep
from distill.core.errors import RecipeError
from distill.core.files import write_bytes
from distill.core.randomness import fold
from distill.recipes import Recipe
from distill.results.ranking import Metric, Row, best_first
from distill.search.outcome import write_recipe
from distill.search.plan import Plan


def tuned(
    plan: Plan, finalists: Mapping[str, Recipe], trials: int, console: Console, jobs: int
) -> dict[str, Recipe]:
    """The recipes with the best parameters of a sweep by TPE each, in ``finals/tune``.

    The trials of a sweep follow from those before them, so they run one after the other, and
    ``jobs`` sweeps at once: their results are the same for any number of jobs.

    Args:
        plan: The search, whose ``parameters:`` and metric they are.
        finalists: Recipes by name.
        trials: How many each.
        console: For messages.
        jobs: Finalists at once.

    Raises:
        RecipeError: If every trial of one diverged.
        RunsFailedError: If trials failed, after all others finished.
    """
    files = {name: _written(plan, recipe, name, trials) for name, recipe in finalists.items()}
    seed, metric = fold(plan.seed, "tune") % 2**31, plan.file.sweep.metric
    tasks = [Task(name, _best, (file, seed, metric, plan.trusted)) for name, file in files.items()]
    found, failed = dict(finalists), list[str]()
    for done in run_tasks(tasks, jobs):
        if done.error:
            failed.append(f"{done.key}: {done.error}")
            continue
        chosen = {name: done.value[name] for name in plan.file.sweep.parameters}
        told = ", ".join(f"{name} {value}" for name, value in chosen.items())
        console.print(f"tuned    {done.key}: {told}", highlight=False, soft_wrap=True)
        for name, value in chosen.items():
            found[done.key] = found[done.key].put(name, value)
    if failed:
        raise RunsFailedError(f"not all finalists were tuned: {'; '.join(failed)}")
    return found


def _written(plan: Plan, recipe: Recipe, name: str, trials: int) -> Path:
    """The file of a finalist's sweep, beside the recipe that it begins with."""
    folder, metric = plan.folder / "finals" / "tune", plan.file.sweep.metric
    folder.mkdir(parents=True, exist_ok=True)
    start, file = folder / f"{name}.yaml", folder / f"{name}.sweep.yaml"
    write_recipe(start, recipe, [f"A finalist of a search, before it is tuned: {name}"])
    spec = {
        "method": "bayes",
        "metric": {"name": metric.name, "goal": metric.goal},
        "parameters": json.loads(plan.file.sweep.written),
        "run_cap": trials,
        "command": ["${env}", "distill", "fit", str(start), "${args}"],
    }
    write_bytes(file, yaml.safe_dump(spec, sort_keys=False).encode())
    return file


def _best(file: Path, seed: int, metric: Metric, trusted: tuple[str, ...]) -> Row:
    """The best trial of a sweep, which is carried out or gone on with."""
    name = file.name.removesuffix(".sweep.yaml")
    out, quiet = file.with_name(name), Console(quiet=True)
    best = best_first(sweep(file, out, quiet, seed=seed, trusted=trusted), metric)[0]
    if best["state"] != "finished":
        raise RecipeError("finals.tune", f"every trial of {name} diverged")
    return best
