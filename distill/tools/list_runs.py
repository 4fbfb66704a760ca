"""Runs below a folder: what each of them is, how good it is, and whether it can go on."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.recipes import read
from distill.results.scores import metric_of, scores_of
from distill.runs.directory import STAGES, recipe_name, resumable

CONFIG = "config.yaml"
_HEADER = ("run", "recipe", "seed", "epochs", "val %", "test %", "state", "age")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        folder: Where it is.
        recipe: What its recipe is called.
        state: ``finished``, ``running``, ``can be resumed`` or ``broken``.
        config: Its recipe's values; none where ``config.yaml`` cannot be read.
        result: The content of ``result.json``; empty before the end.
        age: Seconds since something was written.
    """

    folder: Path
    recipe: str
    state: str
    config: dict[str, Any]
    result: dict[str, Any]
    age: float

    @property
    def seed(self) -> object:
        """The seed, as the result or the recipe says it."""
        return self.result.get("seed", self.config.get("seed_everything", "-"))


def list_runs(folder: Path, word: str = "") -> list[tuple[str, ...]]:
    """A row for each run at or below a folder, newest last, with a header.

    Args:
        folder: Where to look; stages belong to their run.
        word: Of the directory, the recipe or the state of those to list.

    Raises:
        RecipeError: If there is none.
    """
    if not folder.is_dir():
        raise RecipeError(str(folder), "is no folder")
    runs = sorted((read_run(path) for path in _folders(folder)), key=lambda run: -run.age)
    found = [run for run in runs if word.lower() in _text_of(run)]
    if not found:
        told = f"none of its {len(runs)} runs matches {short(word)!r}" if runs else "holds no run"
        raise RecipeError(str(folder), told)
    return [_HEADER, *(_row(run) for run in found)]


def compare_runs(folders: Sequence[Path]) -> list[tuple[str, ...]]:
    """Chosen runs side by side: their figures, then every setting in which they differ.

    Raises:
        RecipeError: If one of them is no run.
    """
    runs = [read_run(folder) for folder in folders]
    figures = [_figures(run) for run in runs]
    told = [("", *(str(run.folder) for run in runs))]
    told += [(name, *(one[name] for one in figures)) for name in figures[0]]
    settings = [_flat(run.config) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = [(key, *(short(str(one.get(key, "-")), 40) or "-" for one in settings)) for key in keys]
    return told + [row for row in rows if len(set(row[1:])) > 1]


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of text, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def read_run(folder: Path) -> Run:
    """Look at a run directory; nothing in it is changed.

    Raises:
        RecipeError: If it is none.
    """
    config = folder / CONFIG
    if not config.is_file():
        raise RecipeError(str(folder), f"holds no {CONFIG}: not a run directory")
    try:
        values, recipe = read(config), recipe_name(folder)
    except (RecipeError, ValueError):
        values, recipe = {}, "?"
    result = _result(folder)
    files = (config, folder / "metrics.csv", folder / "result.json")
    written = max(path.stat().st_mtime for path in files if path.is_file())
    state = _state(folder, bool(values), result)
    return Run(folder, recipe, state, values, result or {}, time.time() - written)


def _folders(folder: Path) -> Iterator[Path]:
    """The run directories at or below a folder; nothing is looked for inside a run."""
    if (folder / CONFIG).is_file():
        yield folder
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not inner.name.startswith(".") and not inner.is_symlink():
            yield from _folders(inner)


def _result(folder: Path) -> dict[str, Any] | None:
    """The content of ``result.json``; None where there is none that can be read."""
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("student"), dict) else None


def _state(folder: Path, readable: bool, result: object) -> str:
    if _is_owned(folder):
        return "running"
    if not readable:
        return "broken"
    if result is not None:
        return "finished"
    begun = any(folder.glob("checkpoints/*.ckpt")) or any(folder.glob(f"{STAGES}/*/checkpoints/*"))
    return "can be resumed" if not begun or resumable(folder) else "broken"


def _is_owned(folder: Path) -> bool:
    """Whether a process is at work in it."""
    if not (folder / ".pid").is_file():
        return False
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            return False
    except (Timeout, OSError):
        return True


def _text_of(run: Run) -> str:
    return f"{run.folder} {run.recipe} {run.state}".lower()


def _row(run: Run) -> tuple[str, ...]:
    figures = (_percent(run, "val"), _percent(run, "test"))
    epochs = str(run.result.get("epochs", "-"))
    return (str(run.folder), run.recipe, str(run.seed), epochs, *figures, run.state, age(run.age))


def _percent(run: Run, split: str, which: str = "last") -> str:
    value = scores_of(run.result, "student").get(split, {}).get(which)
    return f"{value:.2f}" if isinstance(value, int | float) else "-"


def _figures(run: Run) -> dict[str, str]:
    result, student = run.result, run.result.get("student") or {}
    told = {
        "recipe": run.recipe,
        "state": run.state,
        "age": age(run.age),
        "seed": run.seed,
        "epochs": result.get("epochs", "-"),
        "figure": metric_of(result) if result else "-",
        "val %": _percent(run, "val"),
        "val %, best epoch": _percent(run, "val", "best"),
        "test %": _percent(run, "test"),
        "test %, best epoch": _percent(run, "test", "best"),
        "student": student.get("class", "-"),
        "parameters": f"{student['parameters']:,}" if "parameters" in student else "-",
        "seconds": result.get("wall_s", "-"),
        "device": result.get("device", "-"),
    }
    return {name: str(value) for name, value in told.items()}


def _flat(values: object, key: str = "") -> dict[str, object]:
    """The settings of a recipe by their dotted keys, as an override names them."""
    if isinstance(values, Mapping):
        items = [(str(name), value) for name, value in values.items()]
    elif isinstance(values, list):
        items = [(str(place), value) for place, value in enumerate(values)]
    else:
        return {key: values}
    found: dict[str, object] = {}
    for name, value in items:
        found |= _flat(value, key if name == "init_args" else f"{key}.{name}".lstrip("."))
    return found


def age(seconds: float) -> str:
    """How long ago something was, in its largest unit.

    Example:
        >>> age(5), age(3 * 3600 + 5)
        ('now', '3 h')
    """
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "now"
