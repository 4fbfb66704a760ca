"""What a run of several stages leaves: the files of any run, made from those of its stages."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from distill.core.files import write_json
from distill.core.preprocessing import FILE as PREPROCESS
from distill.core.rank import first_process
from distill.results.model_card import write_card
from distill.results.predictions import FILE as PREDICTIONS
from distill.results.scores import metric_of, scores_of
from distill.results.study import SHEET
from distill.runs.directory import PACKED, STAGES, WEIGHTS
from distill.runs.result import Result


def merge_stage_results(results: Mapping[str, Result], run_dir: Path) -> Result:
    """Write ``result.json``, ``metrics.csv``, and copies of the last stage's student and answers.

    Args:
        results: Of the stages, by name, in their order.
        run_dir: The whole run's directory, which holds theirs.

    Returns:
        The content of ``result.json``: the last stage's, with the epochs, steps and seconds of all
        stages, and ``stages``, which has those of each.
    """
    counts = ("epochs", "steps", "wall_s")
    told = [
        {"name": name, **{key: result[key] for key in counts}}
        | {metric_of(result): scores_of(result, "student")}
        for name, result in results.items()
    ]
    whole = {key: round(sum(result[key] for result in results.values()), 2) for key in counts}
    result = list(results.values())[-1] | whole | {"stages": told}
    if first_process():
        _write(results, run_dir)
        write_json(run_dir / "result.json", result)
        write_card(run_dir, result)
    return result


def _write(results: Mapping[str, Result], run_dir: Path) -> None:
    folders = [run_dir / STAGES / name for name in results]
    for name in (WEIGHTS, PACKED, PREDICTIONS, SHEET, PREPROCESS):
        if (folders[-1] / name).is_file():
            shutil.copyfile(folders[-1] / name, run_dir / name)
    _join_metrics(folders, list(results.values()), run_dir / "metrics.csv")


def _join_metrics(folders: Sequence[Path], results: Sequence[Result], path: Path) -> None:
    """One table of all stages; steps and epochs count on from stage to stage."""
    rows: list[dict[str, str | int]] = []
    done = {"step": 0, "epoch": 0}
    for folder, result in zip(folders, results, strict=True):
        with (folder / "metrics.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                counts = {key: int(row[key]) + done[key] for key in done if row.get(key)}
                rows.append({**row, **counts})
        done = {"step": done["step"] + result["steps"], "epoch": done["epoch"] + result["epochs"]}
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
