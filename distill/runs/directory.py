"""A run directory: owned by one process at a time, never left behind empty."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill.core.errors import RecipeError
from distill.core.rank import first_process
from distill.recipes import Recipe, read
from distill.runs.checkpoint_io import latest_valid_checkpoint, newest_valid

STAGES = "stages"
"""The folder in which a run of several stages keeps theirs."""
_NAME = "# recipe: "


@contextmanager
def lock_run_dir(run_dir: Path) -> Iterator[None]:
    """Own a run directory; what was written for a recipe that turns out wrong is removed.

    Once some work was done, everything is kept. Of a run's processes the first owns it for all.

    Raises:
        RecipeError: If another process owns it, with its number.
    """
    if not first_process():
        yield
        return
    made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    run_dir.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(run_dir / ".lock", timeout=0), run_dir / ".pid"
    try:
        lock.acquire()
    except Timeout as error:
        pid = owner.read_text() if owner.exists() else "unknown"
        raise RecipeError(str(run_dir), f"is in use by process {pid}") from error
    config = run_dir / "config.yaml"
    held_a_run = config.exists()
    try:
        owner.write_text(str(os.getpid()))
        yield
    except RecipeError:
        if not held_a_run and not _holds_work(run_dir):
            config.unlink(missing_ok=True)
            if made:
                shutil.rmtree(run_dir)
                _remove_empty(made[1:])
        raise
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _holds_work(run_dir: Path) -> bool:
    """Whether it came as far as a checkpoint, a result or a manifest."""
    patterns = ("**/*.ckpt", "*.json", f"{STAGES}/*/*.json")
    return any(any(run_dir.glob(pattern)) for pattern in patterns)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def refuse_second_run(run_dir: Path) -> None:
    """Check that a directory holds no run yet.

    Raises:
        RecipeError: If it does.
    """
    if (run_dir / "config.yaml").exists():
        message = f"is not empty: use `distill resume {run_dir}` or another --run_dir"
        raise RecipeError(str(run_dir), message)


def checkpoint_to_resume(run_dir: Path) -> Path:
    """The newest valid checkpoint of a run, with a warning if a newer one is damaged.

    Raises:
        RecipeError: If there is none, naming those that are damaged.
    """
    try:
        return latest_valid_checkpoint(run_dir / "checkpoints")
    except ValueError as error:
        raise RecipeError(str(run_dir), str(error)) from error


def resumable(run_dir: Path) -> bool:
    """Whether a run, or a stage of it, left a valid checkpoint."""
    folders = (run_dir / "checkpoints", *run_dir.glob(f"{STAGES}/*/checkpoints"))
    return any(newest_valid(folder) for folder in folders)


def write_config(run_dir: Path, recipe: Recipe, name: str) -> None:
    """Write ``config.yaml``, a run's recipe, under what it is called."""
    text = yaml.safe_dump(recipe.tree, sort_keys=False)
    (run_dir / "config.yaml").write_text(f"{_NAME}{name}\n{text}" if name else text)


def recipe_name(run_dir: Path) -> str:
    """What a run's recipe is called; the directory, where ``config.yaml`` does not say it."""
    first = (run_dir / "config.yaml").read_text().partition("\n")[0]
    return first.removeprefix(_NAME) if first.startswith(_NAME) else str(run_dir)


def read_finished(run_dir: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a finished run and what is in its ``result.json``.

    Raises:
        RecipeError: If the run is not finished, or there is none.
    """
    recipe, weights, result = (
        run_dir / name for name in ("config.yaml", "student.safetensors", "result.json")
    )
    for path in (weights, result, recipe):
        if not path.is_file():
            raise RecipeError(str(path), "is missing: not the directory of a finished run")
    return Recipe(read(recipe)), json.loads(result.read_text())


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        RecipeError: If it is damaged.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RecipeError(str(path), f"is damaged: {error}") from error


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)
