"""Reads what a run, a bench, a sweep or a search left in its directory."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill.core.errors import RecipeError
from distill.results.compare import Row
from distill.results.predictions import Predictions, load_predictions
from distill.results.ranking import Metric
from distill.results.scores import label_of

Kind = Literal["run", "bench", "sweep", "search"]
SEARCH, REMEASURED = "search.json", "remeasured.csv"
"""Stand in the directory of a search; the latter where latency has a limit."""
SHEET = "validation.png"
"""In a run's directory: what labels and networks say of some validation images, drawn."""
_NEEDED = {"recipe", "seed", "dataset", "student"}
_WORDS = ("method", "against", "state", "run_dir")
"""Columns that are text whatever they look like: a variant may be called 100."""


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Attributes:
        result: The content of ``result.json``.
        config: The text of ``config.yaml``.
        metrics: The rows of ``metrics.csv``; what is empty there is missing here.
        predictions: On the validation images; None where they were not kept.
        sheet: A picture of what labels and networks say of some; None where there is none.
    """

    result: dict[str, Any]
    config: str
    metrics: list[dict[str, float]]
    predictions: Predictions | None
    sheet: Path | None = None


@dataclass(frozen=True)
class Study:
    """What a directory holds.

    Attributes:
        kind: ``run``, ``bench``, ``sweep`` or ``search``.
        folder: The directory.
        rows: Of ``results.csv``, numbers as numbers, None where nothing stands; none for a run.
        runs: By method the runs that were found, in the order of the rows; a run alone is under
            its recipe's name, a trial under its number; of a search none, which are many.
    """

    kind: Kind
    folder: Path
    rows: list[Row]
    runs: dict[str, list[FinishedRun]]


def read_study(folder: Path) -> Study:
    """Read a directory, whichever of the three it is.

    Raises:
        RecipeError: If it is none of them, or a file in it cannot be read.
    """
    table = folder / "results.csv"
    if table.is_file():
        return _read_table(folder, _rows(table))
    if (folder / "result.json").is_file():
        run = read_run(folder)
        return Study("run", folder, [], {run.result["recipe"] or folder.name: [run]})
    problem = "holds neither result.json nor results.csv: not a finished run, bench or sweep"
    raise RecipeError(str(folder), problem)


def remeasured(folder: Path) -> list[dict[str, str]]:
    """What a search measured again: a row for each design, ``taken`` is True for the winner.

    Args:
        folder: Of the search.
    """
    path = folder / REMEASURED
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run.

    Raises:
        RecipeError: If ``result.json`` or ``config.yaml`` is not readable.
    """
    path = folder / "result.json"
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(str(path), f"cannot be read: {error}") from error
    if not isinstance(result, dict) or not result.keys() >= _NEEDED:
        raise RecipeError(str(path), "is not the result of a run")
    config, metrics = folder / "config.yaml", folder / "metrics.csv"
    sheet = folder / SHEET
    try:
        recipe = config.read_text() if config.is_file() else ""
    except (OSError, ValueError) as error:
        raise RecipeError(str(config), f"cannot be read: {error}") from error
    return FinishedRun(
        result,
        recipe,
        [_numbers(row) for row in _rows(metrics)] if metrics.is_file() else [],
        load_predictions(folder),
        sheet if sheet.is_file() else None,
    )


def label_of_all(runs: Mapping[str, Sequence[FinishedRun]]) -> str:
    """What the headline figure of some runs by method is called in a sentence."""
    return label_of(next((run.result for found in runs.values() for run in found), {}))


def read_metric(folder: Path, name: str = "sweep.json") -> Metric:
    """Read what a sweep or a search searched for.

    Args:
        folder: Its directory.
        name: Of the file.

    Raises:
        RecipeError: If the file is missing, as in folders of older sweeps, or names no metric
            and goal.
    """
    path = folder / name
    needed = 'needs the metric and its goal, such as {"metric": "val/loss", "goal": "minimize"}'
    if not path.is_file():
        raise RecipeError(str(path), f"is missing, so no trial can be called the best; {needed}")
    try:
        told = json.loads(path.read_text())
        metric, goal = told["metric"], told["goal"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(str(path), needed) from error
    if not isinstance(metric, str) or goal not in ("maximize", "minimize"):
        raise RecipeError(str(path), f"{needed}, got {told}")
    return Metric(metric, goal)


def _read_table(folder: Path, rows: list[Row]) -> Study:
    table = folder / "results.csv"
    if not rows:
        raise RecipeError(str(table), "holds no finished run yet")
    if (folder / SEARCH).is_file():
        return Study("search", folder, rows, {})
    kind: Kind = "sweep" if "trial" in rows[0] else "bench"
    name = "trial" if kind == "sweep" else "method"
    if name not in rows[0]:
        raise RecipeError(str(table), "needs a column 'method' (a bench) or 'trial' (a sweep)")
    runs: dict[str, list[FinishedRun]] = {}
    for row in rows:
        found = runs.setdefault(str(row[name]), [])
        run_dir = _run_dir(folder, row)
        if run_dir is not None:
            found.append(read_run(run_dir))
    return Study(kind, folder, rows, runs)


def _run_dir(folder: Path, row: Row) -> Path | None:
    """Where a row's run lies now; the directory may have been moved since it was written."""
    given = Path(str(row.get("run_dir") or "."))
    places = [
        folder.joinpath(*given.parts[-2:]),
        folder / given.name,
        given,
    ]
    return next((place for place in places if (place / "result.json").is_file()), None)


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(newline="") as file:
            return [
                {key: text or None if key in _WORDS else _value(text) for key, text in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise RecipeError(str(path), f"cannot be read: {error}") from error


def _value(text: str | None) -> str | int | float | None:
    """A cell as a number where it is one, None where it is empty."""
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in row.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
