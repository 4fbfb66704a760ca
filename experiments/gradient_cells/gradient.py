"""Gradient searches in a space whose every design is known: which one do they choose?

python experiments/gradient_cells/gradient.py runs/digits/teacher OUT

Five seeds each of supernets with drawn paths, whose most likely design is taken, and of mixtures,
whose design is taken by magnitude or by perturbation: under a limit on FLOPs, a half of the largest
design's, and without one; with ``none`` among the operations and without. The rank is that among
the designs within the limit that differ, by the mean of three seeds in
``experiments/digits_cells/results.csv``. Writes ``results.csv`` beside itself, row by row: the
same command goes on from what is there.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console

from distill import recipes
from distill.core.files import write_csv
from distill.modules import DifferentiableSearch
from distill.recipes import Recipe
from distill.runs.directory import load_weights
from distill.runs.fit import fit
from distill.runs.session import Session, quiet_lightning
from distill.search import Derived
from distill.search.derivation import derived_cells
from experiments.digits_cells.cells import EDGES, EdgeCells
from experiments.digits_cells.table import read

TABLE = Path(__file__).parent / "results.csv"
SUPERNET = "experiments.gradient_cells.mixed_edges.MixedEdges"
SPACE, SEEDS = EdgeCells(), (0, 1, 2, 3, 4)
LIMITS = {"half": 1 / 2, "no": None}
CASES = (("with", "half"), ("without", "half"), ("without", "no"))
CHOICES = {"gumbel": ("magnitude",), "softmax": ("magnitude", "perturbation")}
COLUMNS = (
    *("none", "limit", "relaxation", "by", "seed", *EDGES, "flops"),
    *("val_top1", "rank", "designs", "supernet_top1"),
)
Row = dict[str, Any]


def known_designs() -> dict[str, Row]:
    """The designs that differ, by key, with their mean accuracy and FLOPs."""
    found: dict[str, list[Row]] = {}
    for row in read():
        design = [SPACE.decisions[edge].index(row[edge]) for edge in EDGES]
        found.setdefault(SPACE.key(design), []).append(row)
    mean = {key: sum(row["val_top1"] for row in rows) / len(rows) for key, rows in found.items()}
    return {k: {"val_top1": mean[k], "flops": rows[0]["flops"]} for k, rows in found.items()}


def recipe(none: bool, relaxation: str, limit: float | None, seed: int, teacher: Path) -> Recipe:
    """``digits/darts`` with the supernet of these cells.

    As DARTS has it, with ``none`` among the operations and alphas that move from the first step on;
    or without ``none``, and alphas that rest for a quarter of the epochs. Drawn paths take four
    times as many epochs then, so that an operation is trained as often as in a mixture.
    """
    epochs = 60 if none or relaxation == "softmax" else 240
    found = Recipe(recipes.load(recipes.find("digits/darts")))
    changes = {
        "model.teacher.run_dir": str(teacher),
        "model.student": {"class_path": SUPERNET, "init_args": {"none": none}},
        "model.relaxation": relaxation,
        "model.limits": {} if limit is None else {"flops": limit},
        "model.cache": "auto",
        "data.seed": 0,
        "model.warm_epochs": 0 if none else epochs // 4,
        "model.scheduler.T_max": epochs,
        "trainer.max_epochs": epochs,
        "trainer.check_val_every_n_epoch": epochs,
        "seed_everything": seed,
    }
    for key, value in changes.items():
        found = found.put(key, value)
    return found


def chosen(run: Recipe, run_dir: Path, by: str, limit: float | None) -> Sequence[int]:
    """The design that a trained supernet says."""
    with quiet_lightning():
        session = Session(run, run_dir, ("experiments",))
    module = cast(DifferentiableSearch, session.module)
    load_weights(module.student, run_dir / "student.safetensors")
    limits = {} if limit is None else {"flops": limit}
    first, last = (derived_cells(session, module, Derived(by), limits) or {})["normal"]
    ops = {"0-1": dict(first)[0], "0-2": dict(last)[0], "1-2": dict(last)[1]}
    return [SPACE.decisions[edge].index(ops[edge]) for edge in EDGES]


def searched(case: tuple[str, str], relaxation: str, seed: int, paths: list[Path]) -> list[Row]:
    """A supernet trained, and a row for each way to read it."""
    (teacher, out), known, (none, name) = paths, known_designs(), case
    largest, share = max(one["flops"] for one in known.values()), LIMITS[name]
    limit = None if share is None else share * largest
    fitting = [one for one in known.values() if limit is None or one["flops"] <= limit]
    run = recipe(none == "with", relaxation, limit, seed, teacher)
    run_dir, quiet = out / f"{none}-{name}" / relaxation / f"seed{seed}", Console(quiet=True)
    result = fit(run, run_dir, trusted=("experiments",), console=quiet, overwrite=True)
    rows = []
    for by in CHOICES[relaxation]:
        design = chosen(run, run_dir, by, limit)
        one = known[SPACE.key(design)]
        rank = 1 + sum(other["val_top1"] > one["val_top1"] for other in fitting)
        row = {"none": none, "limit": name, "relaxation": relaxation, "by": by, "seed": seed}
        row |= SPACE.chosen(design) | {"flops": one["flops"]}
        row |= {"val_top1": round(one["val_top1"], 2), "rank": rank, "designs": len(fitting)}
        accuracy = round(result["student"]["top1"]["val"]["last"], 2)
        rows.append(row | {"supernet_top1": accuracy})
    return rows


def ranks(rows: Sequence[Row]) -> str:
    """A table in Markdown: the ranks of five seeds by case and way."""
    lines = ["| none | limit | designs | relaxation | by | ranks | in the best fifth |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for none, limit in CASES:
        for relaxation, ways in CHOICES.items():
            for by in ways:
                wanted = (none, limit, relaxation, by)
                own = [row for row in rows if tuple(row[name] for name in COLUMNS[:4]) == wanted]
                if own:
                    places, most = [int(row["rank"]) for row in own], int(own[0]["designs"])
                    good = sum(place <= most / 5 for place in places)
                    told = f"{', '.join(map(str, places))} | {good} of {len(own)}"
                    lines.append(
                        f"| {' | '.join((none, limit, str(most), relaxation, by, told))} |"
                    )
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    paths = [Path(each) for each in sys.argv[1:3]]
    rows: list[Row] = list(csv.DictReader(TABLE.open())) if TABLE.is_file() else []
    done = {(row["none"], row["limit"], row["relaxation"], str(row["seed"])) for row in rows}
    for case in CASES:
        for seed in SEEDS:
            for relaxation in CHOICES:
                if (*case, relaxation, str(seed)) not in done:
                    found = searched(case, relaxation, seed, paths)
                    rows += found
                    write_csv(TABLE, rows, COLUMNS)
                    print(*found[-1].values(), flush=True)
    print(ranks(rows))


if __name__ == "__main__":
    main()
