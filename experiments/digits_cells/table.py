"""Every design of a small space, trained under a teacher with three seeds.

python experiments/digits_cells/table.py runs/digits/teacher

A run is ``digits/kd`` with 300 images and 16 epochs; designs whose networks are equal are trained
once. Writes ``results.csv`` beside itself, row by row: the same command goes on from what is there.
"""

import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from distill import recipes
from distill.core.files import write_csv
from distill.recipes import Recipe
from distill.runs.fit import fit
from experiments.digits_cells.cells import EDGES, EdgeCells

TABLE = Path(__file__).parent / "results.csv"
SPACE, SEEDS = EdgeCells(), (0, 1, 2)
COLUMNS = (*EDGES, "seed", "val_top1", "parameters", "flops")
CHANGES = {
    "model.cache": "auto",
    "data.seed": 0,
    "data.train_samples": 300,
    "trainer.max_epochs": 16,
    "trainer.check_val_every_n_epoch": 16,
}
Row = dict[str, Any]


def recipe(design: Sequence[int], teacher: Path, seed: int = 0) -> Recipe:
    """What a design is trained with.

    Args:
        design: One index per edge.
        teacher: The teacher's run.
        seed: Of the run.
    """
    arguments = {"edges": SPACE.architecture(design)}
    student = {"class_path": "experiments.digits_cells.cells.EdgeNet", "init_args": arguments}
    changes = [f"{key}={value}" for key, value in CHANGES.items()]
    found = Recipe(recipes.load(recipes.find("digits/kd"), changes)).put("model.student", student)
    return found.put("model.teacher.run_dir", str(teacher)).put("seed_everything", seed)


def read(path: Path = TABLE) -> list[Row]:
    """The table's rows, in order."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = {"seed": int, "val_top1": float, "parameters": int, "flops": int}
    return [{**row, **{name: kind(row[name]) for name, kind in numbers.items()}} for row in rows]


def trained(design: Sequence[int], teacher: Path, seed: int) -> Row:
    """What came out of a run."""
    with tempfile.TemporaryDirectory() as folder:
        run, quiet = recipe(design, teacher, seed), Console(quiet=True)
        student = fit(run, Path(folder) / "run", trusted=("experiments",), console=quiet)["student"]
    accuracy = round(student["top1"]["val"]["last"], 4)
    return {"val_top1": accuracy, "parameters": student["parameters"], "flops": student["flops"]}


def main() -> None:
    torch.set_num_threads(1)
    rows, teacher = read(), Path(sys.argv[1])
    runs = [(seed, design) for seed in SEEDS for design in SPACE.designs()]
    known = {(run[0], SPACE.key(run[1])): row for run, row in zip(runs, rows, strict=False)}
    for seed, design in runs[len(rows) :]:
        key = seed, SPACE.key(design)
        if key not in known:
            known[key] = trained(design, teacher, seed)
        rows.append({**known[key], **SPACE.chosen(design), "seed": seed})
        write_csv(TABLE, rows, COLUMNS)


if __name__ == "__main__":
    main()
