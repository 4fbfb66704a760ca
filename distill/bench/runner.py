"""Runs a bench: the teacher once, then every recipe with every seed; finished runs are kept."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from distill import recipes
from distill.bench.report import Row, markdown, plot, print_table, write_csv
from distill.bench.spec import Bench, Overrides, read_bench
from distill.callbacks import newest_valid
from distill.recipes import Tree
from distill.result import Result
from distill.run import fit


def bench(
    path: Path, out: Path, console: Console | None = None, overrides: Sequence[str] = ()
) -> list[Row]:
    """Run a bench and write ``results.csv``, ``table.md`` and ``plot.png``.

    Args:
        path: The bench file.
        out: Where runs and tables go; runs that are finished there are not repeated.
        console: Where to print.
        overrides: ``dotted.key=value`` each, on top of the bench's, for every run and the teacher.

    Returns:
        One row per run, as in ``results.csv``.

    Raises:
        RecipeError: If the bench or a recipe is wrong.
    """
    console = console or Console()
    spec = read_bench(path)
    out.mkdir(parents=True, exist_ok=True)
    teacher = _teacher(spec, out, console, overrides)
    rows: list[Row] = []
    competitors, baseline = spec.competitors(), Path(spec.baseline).stem
    runs = [(name, seed) for name in competitors for seed in spec.seeds]
    for number, (name, seed) in enumerate(runs, start=1):
        variant = competitors[name]
        tree = _load(variant.recipe, spec.overrides | variant.overrides, seed, overrides)
        if teacher and tree["model"]["init_args"].get("teacher") is not None:
            recipes.put(tree, "model.teacher.run_dir", str(out / "teacher"))
        run_dir = out / name / f"seed{seed}"
        result = _run(tree, run_dir, variant.recipe, _digest(tree, teacher))
        against = "" if name == baseline else variant.against or baseline
        rows.append(_row(name, seed, result, run_dir, against))
        write_csv(out / "results.csv", rows)
        _progress(console, f"{number}/{len(runs)}", rows[-1])
    (out / "table.md").write_text(markdown(rows, baseline))
    print_table(console, rows, baseline)
    drawn = plot(out / "plot.png", rows, baseline)
    files = "results.csv, table.md" + (", plot.png" if drawn else " (a plot needs distill[report])")
    console.print(f"{out}: {files}", highlight=False, soft_wrap=True)
    return rows


def _teacher(spec: Bench, out: Path, console: Console, overrides: Sequence[str]) -> str:
    """Train the teacher; returns a digest of its recipe."""
    if spec.teacher is None:
        return ""
    tree = _load(spec.teacher, spec.teacher_overrides, 0, overrides)
    digest = _digest(tree, "")
    result = _run(tree, out / "teacher", spec.teacher, digest)
    _progress(console, "teacher", _row("teacher", 0, result, out / "teacher", ""))
    return digest


def _load(name: str, changes: Overrides, seed: int, overrides: Sequence[str]) -> Tree:
    written = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    tree = recipes.load(recipes.find(name), [*written, *overrides])
    return tree | {"seed_everything": seed}


def _run(tree: Tree, run_dir: Path, name: str, digest: str) -> Result:
    """Carry out a run, go on with it, or read what it left, whichever is due."""
    note = run_dir / "bench.sha256"
    if note.is_file() and note.read_text() == digest:
        if (run_dir / "result.json").is_file():
            finished: Result = json.loads((run_dir / "result.json").read_text())
            return finished
    else:
        shutil.rmtree(run_dir, ignore_errors=True)
    resume = newest_valid(run_dir / "checkpoints") is not None
    if not resume:
        shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    note.write_text(digest)
    return fit(tree, run_dir, name=name, resume=resume, console=Console(quiet=True))


def _digest(tree: Tree, teacher: str) -> str:
    return hashlib.sha256((json.dumps(tree, sort_keys=True) + teacher).encode()).hexdigest()


def _row(method: str, seed: int, result: Result, run_dir: Path, against: str) -> Row:
    student, teacher = result["student"]["top1"], (result["teacher"] or {}).get("top1", {})
    return {
        "method": method,
        "seed": seed,
        "val_last": student["val"]["last"],
        "val_best": student["val"]["best"],
        "test_last": student.get("test", {}).get("last"),
        "test_best": student.get("test", {}).get("best"),
        "teacher_val": teacher.get("val", {}).get("last"),
        "teacher_test": teacher.get("test", {}).get("last"),
        "wall_s": result["wall_s"],
        "against": against,
        "run_dir": str(run_dir),
    }


def _progress(console: Console, place: str, row: Row) -> None:
    test = f"  test {row['test_last']:.2f} %" if row["test_last"] is not None else ""
    line = f"{place:8} {row['method']:12} seed {row['seed']}  val {row['val_last']:.2f} %{test}"
    console.print(f"{line}  {row['wall_s']:.1f} s", highlight=False)
