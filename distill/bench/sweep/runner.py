"""Runs a sweep: trial after trial, several at once, in any number of processes."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from distill.bench.processes import Task, TaskResult, run_tasks
from distill.bench.progress import Progress
from distill.bench.ray_tune import run_on_ray
from distill.bench.runner import RunsFailedError
from distill.bench.sweep.folder import refuse_other_files
from distill.bench.sweep.report import markdown, plot_importances, plot_parallel
from distill.bench.sweep.spec import Sweep, read_sweep
from distill.bench.sweep.trial_queue import Trial, TrialQueue
from distill.bench.sweep.trials import Plan, columns, row
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.files import write_csv, write_json
from distill.recipes.stages import check_stages
from distill.results.ranking import Row, best_first
from distill.runs.table_precision import TablePrecision

_MEANS = {
    "grid": "every combination",
    "random": "random draws",
    "bayes": "bayes is Optuna's TPE here, not the Gaussian process of W&B's server",
}


def sweep(
    path: Path,
    out: Path,
    console: Console | None = None,
    overrides: Sequence[str] = (),
    jobs: int = 1,
    seed: int = 0,
    ray: str | None = None,
    trusted: Sequence[str] = (),
) -> list[Row]:
    """Run a sweep and write ``results.csv``, ``table.md``, ``sweep.json`` and two plots.

    Args:
        path: The sweep file.
        out: Folder for trials and tables; trials that are finished there are not repeated. Several
            processes may work on the same folder at once.
        console: For messages; a new one if None.
        overrides: ``dotted.key=value`` each, for every trial, on top of the file's command.
        jobs: Number of trials at once, in processes of their own that share the threads.
        seed: Of the search, not of the trials.
        ray: The address of a Ray cluster to run the trials on; None for this machine.
        trusted: Further packages whose classes the recipe may name.

    Returns:
        One row per finished trial, as in ``results.csv``.

    Raises:
        RecipeError: If the sweep or its recipe is wrong, or ``out`` holds another sweep.
        RunsFailedError: If trials failed, after all others finished.
    """
    console = console or Console()
    if jobs < 1:
        raise RecipeError("--jobs", f"must be at least 1, got {jobs}")
    plan = make_plan(path, out, overrides, seed, trusted)
    refuse_other_files(out)
    console.print(f"sweep    {plan.sweep.method}: {_MEANS[plan.sweep.method]}", highlight=False)
    with closing(TrialQueue(plan.sweep, out, seed, plan.digest())) as queue:
        metric = {"metric": plan.sweep.metric.name, "goal": plan.sweep.metric.goal}
        with FileLock(out / "locks" / "tables"):
            write_json(out / "sweep.json", metric)
        plan = replace(plan, precisions=TablePrecision(out, trusted, console))
        recorder = TrialRecorder(plan, queue, console)
        if ray is not None:
            run_on_ray(_tasks(plan, queue), recorder.record, out, ray, jobs)
        else:
            for result in run_tasks(_tasks(plan, queue), jobs):
                recorder.record(result)
        return recorder.finish()


def make_plan(
    path: Path, out: Path, overrides: Sequence[str], seed: int, trusted: Sequence[str] = ()
) -> Plan:
    """Read a sweep file, and check the recipe with one value of each parameter.

    Raises:
        RecipeError: If something is wrong with them, or the file's command asks to trust packages
            that are not among ``trusted``.
    """
    spec = read_sweep(path)
    for package in spec.command.trusted:
        if package not in trusted:
            told = (
                f"asks to trust {shown(package)}, which no file can: add --trust {short(package)}"
            )
            raise RecipeError(f"{path}: command", told)
    for override in overrides:
        if (key := override.partition("=")[0]) in spec.parameters:
            message = "is varied by the sweep, so it cannot be set on the command line"
            raise RecipeError(key, message)
    plan = Plan(spec, out, tuple(overrides), seed, tuple(trusted))
    run = plan.run(Trial(0, _middle(spec), ""))
    check_stages(run.recipe, run.trusted)
    if spec.early_terminate and run.recipe.staged:
        message = "cannot compare trials that train in stages; remove early_terminate"
        raise RecipeError(f"{path}: early_terminate", message)
    return plan


class TrialRecorder:
    """Records the results of trials, in the study, in ``results.csv`` and on a console.

    Args:
        plan: The sweep.
        queue: Gives the trials.
        console: For messages.
    """

    def __init__(self, plan: Plan, queue: TrialQueue, console: Console) -> None:
        self._plan, self._queue, self._console = plan, queue, console
        self._rows: dict[int, Row] = {}
        self._failed = 0
        done, total = len(queue.finished()), plan.sweep.trials
        console.print(f"trials   {total}: {done} finished before", highlight=False)
        self._progress = Progress(console, total, done)

    def record(self, result: TaskResult) -> None:
        """Record one result; its key is the trial."""
        trial: Trial = result.key
        line = f"trial {trial.number:3}  {_values(trial)}"
        if result.error and result.kind != "NonFiniteError":
            self._fail(trial, result)
            self._progress.ended(f"{line}  FAILED: {result.error}")
            return
        found = row(trial, self._plan.run(trial), self._plan.sweep.metric)
        self._queue.tell(trial.number, found.get("value"), found["state"] == "stopped")
        self._write()
        self._progress.ended(f"{line}  {self._score(found)}")

    def finish(self) -> list[Row]:
        """Write tables and plots, and print the best trial.

        Raises:
            RunsFailedError: If trials failed.
        """
        rows, metric, out = self._write(), self._plan.sweep.metric, self._plan.out
        names = list(self._plan.sweep.parameters)
        with FileLock(out / "locks" / "tables"):
            (out / "table.md").write_text(markdown(rows, metric, names))
            drawn = plot_parallel(out / "parallel.png", rows, metric, names)
            drawn &= plot_importances(out / "importance.png", self._queue.importances())
        ranked = [one for one in best_first(rows, metric) if "value" in one]
        if ranked:
            best = f"trial {ranked[0]['trial']}, {self._score(ranked[0])}: {ranked[0]['run_dir']}"
            self._console.print(f"best     {best}", highlight=False, soft_wrap=True)
        files = "results.csv, table.md" + (", parallel.png, importance.png" if drawn else "")
        self._console.print(f"{out}: {files}", highlight=False, soft_wrap=True)
        if self._failed:
            of_all = f"{self._failed} of {self._plan.sweep.trials} trials failed"
            raise RunsFailedError(f"{of_all}; the same command tries them again")
        return rows

    def _fail(self, trial: Trial, result: TaskResult) -> None:
        self._failed += 1
        self._queue.give_back(trial.number)
        self._plan.run(trial).note_error(result.traceback or result.error)

    def _score(self, found: Row) -> str:
        if "value" not in found:
            return "diverged"
        state = "" if found["state"] == "finished" else f"  {found['state']}"
        return f"{self._plan.sweep.metric.name} {found['value']:.4g}{state}"

    def _write(self) -> list[Row]:
        """Write ``results.csv`` with all finished trials, also those of other processes."""
        metric, finished = self._plan.sweep.metric, self._queue.finished()
        for trial in self._queue.trials():
            if trial.number in finished and trial.number not in self._rows:
                self._rows[trial.number] = row(trial, self._plan.run(trial), metric)
        rows = [self._rows[number] for number in sorted(self._rows)]
        with FileLock(self._plan.out / "locks" / "tables"):
            path = self._plan.out / "results.csv"
            write_csv(path, rows, columns(self._plan.sweep.parameters))
        return rows


def _tasks(plan: Plan, queue: TrialQueue) -> Iterator[Task]:
    while (trial := queue.take()) is not None:
        yield Task(trial, plan.run(trial).train, ())


def _middle(sweep: Sweep) -> dict[str, object]:
    return {
        name: parameter.quantile(0.5) if parameter.quantile else (parameter.values or ())[0]
        for name, parameter in sweep.parameters.items()
    }


def _values(trial: Trial) -> str:
    values = (
        (key.rpartition(".")[2], f"{value:.3g}" if isinstance(value, float) else str(value))
        for key, value in trial.parameters.items()
    )
    return ", ".join(f"{key} {value}" for key, value in values)
