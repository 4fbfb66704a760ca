"""Runs a search: costs, candidates, finals and what is left of them, each gone on with."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from os.path import lexists
from pathlib import Path

import torch
from rich.console import Console

from distill.bench.processes import run_tasks
from distill.bench.ray_tune import run_on_ray
from distill.bench.sweep.trial_queue import JOURNAL, TrialQueue
from distill.core.errors import RecipeError
from distill.core.files import write_json
from distill.core.randomness import fold
from distill.recipes import Recipe
from distill.recipes.stages import check_stages
from distill.results.ranking import Row
from distill.results.study import SEARCH
from distill.runs.directory import lock_run_dir
from distill.runs.table_precision import TablePrecision
from distill.search.candidates import Proposer, Recorder, tasks
from distill.search.derivation import check_supernets, with_supernets
from distill.search.evaluations import Inherited
from distill.search.finals import run_finals
from distill.search.folder import refuse_others
from distill.search.inheritance import BEST, Heirs, check_inheritance, heirs_of, write_heir
from distill.search.latency import LATENCY, LatencyTable
from distill.search.outcome import design_in, markdown, plot, short_list, write_recipe
from distill.search.plan import Plan
from distill.search.remeasured import first_within
from distill.search.spec import read_search
from distill.search.strategy import Design, Search, random_design

FITTED, SEEN = 40, 100


@dataclass(frozen=True)
class Machine:
    """How a search is carried out here; no result depends on it.

    Attributes:
        jobs: Runs at once.
        ray: The address of a Ray cluster for the candidates; None for this machine.
        remeasure: Measure latencies anew, which only a folder without candidates allows.
    """

    jobs: int = 1
    ray: str | None = None
    remeasure: bool = False


def search(
    path: Path,
    out: Path,
    console: Console | None = None,
    overrides: Sequence[str] = (),
    machine: Machine | None = None,
    seed: int = 0,
    trusted: Sequence[str] = (),
) -> list[Row]:
    """Search for a student, and write tables and the best design as a recipe.

    Args:
        path: The search file.
        out: Folder for all of it; the same call goes on from what is there.
        console: For messages; a new one if None.
        overrides: ``dotted.key=value`` each, for every run, on top of the file's.
        machine: How many runs at once, and where; one after the other if None.
        seed: Of the search, not of the runs.
        trusted: Further packages whose classes the recipe and the file may name.

    Returns:
        One row per candidate, as in ``results.csv``.

    Raises:
        RecipeError: If the file or its recipe is wrong, or ``out`` holds something else.
        RunsFailedError: If runs failed, after all others finished.
    """
    console, machine = console or Console(), machine or Machine()
    if machine.jobs < 1:
        raise RecipeError("--jobs", f"must be at least 1, got {machine.jobs}")
    plan = make_plan(path, out, overrides, seed, trusted)
    refuse_others(out, plan.digest())
    if machine.remeasure and lexists(out / JOURNAL):
        told = "candidates of this folder follow from its table; choose another --out"
        raise RecipeError("--remeasure", told)
    if machine.ray is not None and isinstance(plan.file.evaluation, Inherited):
        raise RecipeError("--ray", "designs that inherit are evaluated here: leave it out")
    check_inheritance(plan)
    extremes = plan.check()
    with _one_thread(), lock_run_dir(out, again="the same command goes on from here"):
        metric = plan.file.sweep.metric
        kept = {"digest": plan.digest(), "metric": metric.name, "goal": metric.goal}
        write_json(out / SEARCH, kept)
        if machine.remeasure:
            (out / LATENCY).unlink(missing_ok=True)
        plan = with_latency(plan, extremes, console)
        plan = replace(plan, precisions=TablePrecision(out, trusted, console))
        plan = with_supernets(plan, console, machine.jobs)
        heirs = heirs_of(plan, console)
        rows = _candidates(plan, extremes[0], console, machine, heirs)
        best = _finish(plan, rows, console, machine.jobs, path)
        if heirs is not None:
            write_heir(plan, heirs, best)
            console.print(f"{out / BEST}: what the best design inherits", highlight=False)
    return rows


@contextmanager
def _one_thread() -> Iterator[None]:
    """Other sums give other last bits, which a search makes other designs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def make_plan(
    path: Path, out: Path, overrides: Sequence[str], seed: int, trusted: Sequence[str] = ()
) -> Plan:
    """Read a search file.

    Raises:
        RecipeError: If something is wrong with it.
    """
    file = read_search(path, tuple(trusted))
    for override in overrides:
        key = override.partition("=")[0]
        if key in file.sweep.parameters or key.startswith("model.student."):
            told = "is varied by the search, so it cannot be set on the command line"
            raise RecipeError(key, told)
    plan = Plan(file, out, tuple(overrides), seed, tuple(trusted))
    check_stages(plan.recipe, plan.trusted)
    check_supernets(plan)
    return plan


def with_latency(plan: Plan, extremes: tuple[Design, Design], console: Console) -> Plan:
    """The plan with a table of latencies, measured or read, if latency matters to it.

    Args:
        plan: The search.
        extremes: Its smallest and its largest design.
        console: For messages.

    Raises:
        RecipeError: If the clock is too noisy, or the table is of another machine.
    """
    if not plan.file.needs_latency:
        return plan
    table = LatencyTable(plan.folder / LATENCY, plan.file.limits.batch)
    draws = Search(plan.space, fold(plan.seed, "latency"), FITTED + SEEN)
    designs = (random_design(draws, number, 0) for number in range(FITTED + SEEN))
    fitted = [*extremes, *islice(designs, FITTED - len(extremes))]
    recipes = [plan.with_design(design) for design in fitted]
    table.measure(recipes, map(plan.with_design, designs), plan.image)
    error = f"off by {100 * table.error():.1f} % in the median"
    console.print(f"latency  {FITTED} networks measured, predictions {error}", highlight=False)
    return replace(plan, latency=table, _known={})


def _candidates(
    plan: Plan, smallest: Design, console: Console, machine: Machine, heirs: Heirs | None
) -> list[Row]:
    propose, file = Proposer(plan, smallest), plan.file
    jobs = min(machine.jobs, file.parallel) if heirs is None else 1
    if jobs < machine.jobs and heirs is None:
        told = f"jobs     {jobs} candidates at once, as parallel says"
        console.print(told, highlight=False)
    queue = TrialQueue(file.sweep, plan.folder, plan.seed, plan.digest(), propose)
    with closing(queue):
        recorder = Recorder(plan, queue, console)
        if machine.ray is not None:
            run_on_ray(tasks(plan, queue), recorder.record, plan.folder, machine.ray, jobs)
        else:
            for result in run_tasks(tasks(plan, queue, heirs), jobs):
                recorder.record(result)
        rows = recorder.finish()
    if len(rows) < file.sweep.trials:
        told = f"ends after {len(rows)} trials: no further design within the limits was found"
        console.print(told, highlight=False)
    return rows


def _finish(plan: Plan, rows: Sequence[Row], console: Console, jobs: int, path: Path) -> Recipe:
    """Hold the finals and write the best design's recipe, which is returned."""
    ranked = short_list(plan, rows)
    if not ranked:
        raise RecipeError("trials", "every candidate diverged, so there is no best design")
    if plan.file.finals is not None:
        best, figures = run_finals(plan, plan.file.finals, rows, console, jobs)
    else:
        names = ((f"candidate {row['trial']}", design_in(plan, row)) for row in ranked)
        recipes = ((name, plan.with_design(design)) for name, design in names)
        (_, best), figures = first_within(plan, recipes)
    for line in figures:
        console.print(f"best     {line}", highlight=False, soft_wrap=True)
    out = plan.folder
    value = f"{plan.file.sweep.metric.name} {ranked[0]['value']:.4g} in the search, one seed"
    head = [
        f"Found by: distill search {path.name} --seed {plan.seed}",
        f"The search's best: {value}, of {len(rows)} candidates.",
        *figures,
        "distill fit best.yaml trains it from scratch.",
    ]
    write_recipe(out / "best.yaml", best, head)
    (out / "table.md").write_text(markdown(plan, rows))
    drawn = ", pareto.png" if plot(out / "pareto.png", rows) else ""
    files = f"results.csv, pareto.csv, table.md{drawn}, best.yaml"
    console.print(f"{out}: {files}", highlight=False, soft_wrap=True)
    return best
