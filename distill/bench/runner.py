"""Runs a bench: the teacher once, then every recipe with every seed; finished runs are kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from distill import recipes
from distill.bench.processes import Task, TaskResult, run_tasks
from distill.bench.progress import Progress
from distill.bench.ray_tune import run_on_ray
from distill.bench.report import COLUMNS, markdown, plot, print_table
from distill.bench.spec import Bench, Overrides, read_bench
from distill.core.errors import RecipeError
from distill.core.files import write_csv
from distill.recipes import Recipe
from distill.recipes.stages import check_stages, last_stage
from distill.results.compare import Row
from distill.results.scores import scores_of
from distill.runs.directory import lock_run_dir
from distill.runs.repeatable import RepeatableRun, digest, is_signed, refuse_others
from distill.runs.result import Result
from distill.runs.table_precision import TablePrecision

_TABLES = ("results.csv", "table.md", "plot.png")


class RunsFailedError(RuntimeError):
    """Some runs failed; the others finished and are in the tables."""


@dataclass(frozen=True)
class _Cell:
    """A method with a seed: one row of ``results.csv``."""

    method: str
    seed: int
    against: str
    run: RepeatableRun


def bench(
    path: Path,
    out: Path,
    console: Console | None = None,
    overrides: Sequence[str] = (),
    jobs: int = 1,
    trusted: Sequence[str] = (),
    ray: str | None = None,
) -> list[Row]:
    """Run a bench and write ``results.csv``, ``table.md`` and ``plot.png``.

    Args:
        path: The bench file.
        out: Folder for runs and tables; runs that are finished there are not repeated.
        console: For messages; a new one if None.
        overrides: ``dotted.key=value`` each, on top of the bench's, for every run and the teacher.
        jobs: Number of runs at once, in processes of their own that share the threads.
        trusted: Further packages whose classes the recipes may name.
        ray: The address of a Ray cluster to run all but the teacher on; None for this machine.

    Returns:
        One row per run, as in ``results.csv``.

    Raises:
        RecipeError: If the bench, a recipe or the teacher is wrong, or ``out`` is in use.
        RunsFailedError: If runs failed, after all others finished.
    """
    console = console or Console()
    if jobs < 1:
        raise RecipeError("--jobs", f"must be at least 1, got {jobs}")
    spec = read_bench(path)
    with lock_run_dir(out, again="the same command goes on from here"):
        teacher = _teacher(spec, out, overrides, trusted)
        cells = _cells(spec, out, overrides, trusted, teacher)
        _refuse_other_tables(out, [*([teacher] if teacher else []), *(cell.run for cell in cells)])
        precisions = TablePrecision(out, trusted, console)
        if teacher is not None:
            _train_teacher(precisions.of(teacher), console)
        cells = [replace(cell, run=precisions.of(cell.run)) for cell in cells]
        rows, failed = _run_cells(cells, out, console, jobs, ray)
        if rows:
            _report(out, rows, Path(spec.baseline).stem, console)
    if failed:
        message = f"{failed} of {len(cells)} runs failed; the same command tries them again"
        raise RunsFailedError(message)
    return rows


def _refuse_other_tables(out: Path, runs: Sequence[RepeatableRun]) -> None:
    """Tables come after the first run: without one, they are somebody else's."""
    earlier = (note.parent for note in out.glob("*/seed*/*.sha256"))
    if not any(is_signed(folder) for folder in (*(run.run_dir for run in runs), *earlier)):
        refuse_others(out, _TABLES)


def _teacher(
    spec: Bench, out: Path, overrides: Sequence[str], trusted: Sequence[str]
) -> RepeatableRun | None:
    if spec.teacher is None:
        return None
    recipe = _load(spec.teacher, spec.teacher_overrides, 0, overrides)
    check_stages(recipe, trusted)
    _check_validates(last_stage(recipe))
    name, key = spec.teacher, digest(recipe, "")
    run = RepeatableRun(recipe, out / "teacher", name, key, tuple(trusted))
    run.check_owner()
    return run


def _cells(
    spec: Bench,
    out: Path,
    overrides: Sequence[str],
    trusted: Sequence[str],
    teacher: RepeatableRun | None,
) -> list[_Cell]:
    """List all runs, and check their recipes before the first starts."""
    cells, baseline = [], Path(spec.baseline).stem
    for method, variant in spec.competitors().items():
        against = "" if method == baseline else variant.against or baseline
        for seed in spec.seeds:
            recipe = _load(variant.recipe, spec.overrides | variant.overrides, seed, overrides)
            taught_by = teacher if recipe.get("model.teacher") is not None else None
            if taught_by is not None:
                recipe = recipe.put("model.teacher.run_dir", str(taught_by.run_dir))
            if seed == spec.seeds[0]:
                check_stages(recipe, trusted)
                _check_validates(last_stage(recipe))
            key = digest(recipe, taught_by.digest if taught_by else "")
            folder, name = out / method / f"seed{seed}", variant.recipe
            run = RepeatableRun(recipe, folder, name, key, tuple(trusted))
            run.check_owner()
            cells.append(_Cell(method, seed, against, run))
    return cells


def _check_validates(recipe: Recipe) -> None:
    every = recipe.get("trainer.check_val_every_n_epoch") or 1
    epochs = recipe.get("trainer.max_epochs")
    if isinstance(epochs, int) and 0 <= epochs < every:
        message = f"is {every}, so {epochs} epochs would never be validated"
        raise RecipeError("trainer.check_val_every_n_epoch", message)


def _load(name: str, changes: Overrides, seed: int, overrides: Sequence[str]) -> Recipe:
    written = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    recipe = Recipe(recipes.load(recipes.find(name), [*written, *overrides]))
    return recipe.put("seed_everything", seed)


def _train_teacher(teacher: RepeatableRun, console: Console) -> None:
    known = teacher.result() is not None
    row = _row(_Cell("teacher", 0, "", teacher), teacher.train())
    time = "finished before" if known else f"{row['wall_s']:.1f} s"
    console.print(f"teacher  {_scores(row)}  {time}", highlight=False, soft_wrap=True)


def _run_cells(
    cells: Sequence[_Cell], out: Path, console: Console, jobs: int, ray: str | None
) -> tuple[list[Row], int]:
    """Run all cells that are not finished; return the rows, in order, and how many failed."""
    found = {place: cell.run.result() for place, cell in enumerate(cells)}
    results = {place: result for place, result in found.items() if result is not None}
    missing = [place for place in range(len(cells)) if place not in results]
    at_once = f", {jobs} at once" if jobs > 1 else ""
    summary = f"{len(results)} finished before, {len(missing)} to do{at_once}"
    console.print(f"runs     {len(cells)}: {summary}", highlight=False)
    progress = Progress(console, len(cells), len(results))

    def record(done: TaskResult) -> None:
        cell = cells[done.key]
        if done.error:
            _record_failure(cell, done, progress)
            return
        results[done.key] = done.value
        write_csv(out / "results.csv", _rows(cells, results), COLUMNS)
        row = _row(cell, done.value)
        progress.ended(f"{_scores(row)}  {row['wall_s']:.1f} s")

    tasks = (Task(place, cells[place].run.train, ()) for place in missing)
    if ray is not None and missing:
        run_on_ray(tasks, record, out, ray, jobs)
    else:
        for done in run_tasks(tasks, jobs):
            record(done)
    return _rows(cells, results), len(cells) - len(results)


def _rows(cells: Sequence[_Cell], results: dict[int, Result]) -> list[Row]:
    return [_row(cells[place], results[place]) for place in sorted(results)]


def _row(cell: _Cell, result: Result) -> Row:
    student, teacher = scores_of(result, "student"), scores_of(result, "teacher")
    return {
        "method": cell.method,
        "seed": cell.seed,
        "val_last": student["val"]["last"],
        "val_best": student["val"]["best"],
        "test_last": student.get("test", {}).get("last"),
        "test_best": student.get("test", {}).get("best"),
        "teacher_val": teacher.get("val", {}).get("last"),
        "teacher_test": teacher.get("test", {}).get("last"),
        "wall_s": result["wall_s"],
        "stored_bytes": result["student"].get("stored_bytes"),
        "bops": result["student"].get("bops"),
        "against": cell.against,
        "run_dir": str(cell.run.run_dir),
    }


def _scores(row: Row) -> str:
    test = f"  test {row['test_last']:.2f} %" if row["test_last"] is not None else ""
    return f"{row['method']:12} seed {row['seed']}  val {row['val_last']:.2f} %{test}"


def _record_failure(cell: _Cell, done: TaskResult, progress: Progress) -> None:
    cell.run.note_error(done.traceback or done.error)
    progress.ended(f"{cell.method:12} seed {cell.seed}  FAILED: {done.error}")


def _report(out: Path, rows: list[Row], baseline: str, console: Console) -> None:
    write_csv(out / "results.csv", rows, COLUMNS)
    (out / "table.md").write_text(markdown(rows, baseline))
    print_table(console, rows, baseline)
    drawn = plot(out / "plot.png", rows, baseline)
    files = "results.csv, table.md" + (", plot.png" if drawn else " (a plot needs distill[report])")
    console.print(f"{out}: {files}", highlight=False, soft_wrap=True)
