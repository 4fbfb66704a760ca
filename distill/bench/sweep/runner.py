"""Runs a sweep here: trial after trial, several at once, in any number of processes."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from distill.bench.processes import Outcome, Task, carry_out
from distill.bench.progress import Progress
from distill.bench.runner import RunsFailedError
from distill.bench.sweep.ray_tune import carry_out_on_ray
from distill.bench.sweep.report import markdown, plot_importances, plot_parallel
from distill.bench.sweep.search import Search, Trial
from distill.bench.sweep.spec import Sweep, read_sweep
from distill.bench.sweep.trials import Plan, columns, row
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.files import write_csv, write_json
from distill.recipes.stages import check_stages
from distill.results.ranking import Row, best_first

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
        out: Where trials and tables go; trials that are finished there are not repeated. Several
            processes may work on the same folder at once.
        console: Where to print.
        overrides: ``dotted.key=value`` each, for every trial, on top of the file's command.
        jobs: Trials at once, in processes of their own that share the threads.
        seed: Of the search, not of the trials.
        ray: The address of a Ray cluster to carry them out on, if not here.
        trusted: Further packages whose classes the recipe may name.

    Returns:
        One row per finished trial, as in ``results.csv``.

    Raises:
        RecipeError: If the sweep or its recipe is wrong, or ``out`` holds another sweep.
        RunsFailedError: If trials failed, after all others were carried out.
    """
    console = console or Console()
    if jobs < 1:
        raise RecipeError("--jobs", f"must be at least 1, got {jobs}")
    plan = make_plan(path, out, overrides, seed, trusted)
    console.print(f"sweep    {plan.sweep.method}: {_MEANS[plan.sweep.method]}", highlight=False)
    with closing(Search(plan.sweep, out, seed, plan.digest())) as search:
        sought = {"metric": plan.sweep.metric.name, "goal": plan.sweep.metric.goal}
        with FileLock(out / "locks" / "tables"):
            write_json(out / "sweep.json", sought)
        board = Board(plan, search, console)
        if ray is not None:
            carry_out_on_ray(plan, search, board, ray, jobs)
        else:
            for outcome in carry_out(_tasks(plan, search), jobs):
                board.note(outcome)
        return board.end()


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
            raise RecipeError(key, "the sweep varies it; it cannot be set as well")
    plan = Plan(spec, out, tuple(overrides), seed, tuple(trusted))
    run = plan.run(Trial(0, _middle(spec), ""))
    check_stages(run.recipe, run.trusted)
    if spec.early_terminate and run.recipe.staged:
        told = "cannot compare trials that train in stages: leave it out"
        raise RecipeError(f"{path}: early_terminate", told)
    return plan


class Board:
    """Notes what comes of trials, in the study, in ``results.csv`` and on a console.

    Args:
        plan: The sweep.
        search: Where the trials come from.
        console: Where to print.
    """

    def __init__(self, plan: Plan, search: Search, console: Console) -> None:
        self._plan, self._search, self._console = plan, search, console
        self._rows: dict[int, Row] = {}
        self._failed = 0
        done, total = len(search.finished()), plan.sweep.trials
        console.print(f"trials   {total}: {done} finished before", highlight=False)
        self._progress = Progress(console, total, done)

    def note(self, outcome: Outcome) -> None:
        """Note one outcome; its key is the trial."""
        trial: Trial = outcome.key
        told = f"trial {trial.number:3}  {_told(trial)}"
        if outcome.error and outcome.kind != "NonFiniteError":
            self._fail(trial, outcome)
            self._progress.ended(f"{told}  FAILED: {outcome.error}")
            return
        found = row(trial, self._plan.run(trial), self._plan.sweep.metric)
        self._search.tell(trial.number, found.get("value"), found["state"] == "stopped")
        self._write()
        self._progress.ended(f"{told}  {self._came(found)}")

    def end(self) -> list[Row]:
        """Write tables and plots.

        Raises:
            RunsFailedError: If trials failed.
        """
        rows, metric, out = self._write(), self._plan.sweep.metric, self._plan.out
        names = list(self._plan.sweep.parameters)
        with FileLock(out / "locks" / "tables"):
            (out / "table.md").write_text(markdown(rows, metric, names))
            drawn = plot_parallel(out / "parallel.png", rows, metric, names)
            drawn &= plot_importances(out / "importance.png", self._search.importances())
        told = [one for one in best_first(rows, metric) if "value" in one]
        if told:
            best = f"trial {told[0]['trial']}, {self._came(told[0])}: {told[0]['run_dir']}"
            self._console.print(f"best     {best}", highlight=False, soft_wrap=True)
        files = "results.csv, table.md" + (", parallel.png, importance.png" if drawn else "")
        self._console.print(f"{out}: {files}", highlight=False, soft_wrap=True)
        if self._failed:
            of_all = f"{self._failed} of {self._plan.sweep.trials} trials failed"
            raise RunsFailedError(f"{of_all}; the same command tries them again")
        return rows

    def _fail(self, trial: Trial, outcome: Outcome) -> None:
        self._failed += 1
        self._search.give_back(trial.number)
        run_dir = self._plan.run(trial).run_dir
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "error.txt").write_text(outcome.traceback or outcome.error)

    def _came(self, found: Row) -> str:
        if "value" not in found:
            return "diverged"
        state = "" if found["state"] == "finished" else f"  {found['state']}"
        return f"{self._plan.sweep.metric.name} {found['value']:.4g}{state}"

    def _write(self) -> list[Row]:
        """Write ``results.csv`` with all finished trials, other processes' among them."""
        metric, finished = self._plan.sweep.metric, self._search.finished()
        for trial in self._search.trials():
            if trial.number in finished and trial.number not in self._rows:
                self._rows[trial.number] = row(trial, self._plan.run(trial), metric)
        rows = [self._rows[number] for number in sorted(self._rows)]
        with FileLock(self._plan.out / "locks" / "tables"):
            path = self._plan.out / "results.csv"
            write_csv(path, rows, columns(self._plan.sweep.parameters))
        return rows


def _tasks(plan: Plan, search: Search) -> Iterator[Task]:
    while (trial := search.take()) is not None:
        yield Task(trial, plan.run(trial).train, ())


def _middle(sweep: Sweep) -> dict[str, object]:
    return {
        name: parameter.quantile(0.5) if parameter.quantile else (parameter.values or ())[0]
        for name, parameter in sweep.parameters.items()
    }


def _told(trial: Trial) -> str:
    values = (
        (key.rpartition(".")[2], f"{value:.3g}" if isinstance(value, float) else str(value))
        for key, value in trial.parameters.items()
    )
    return ", ".join(f"{key} {value}" for key, value in values)
