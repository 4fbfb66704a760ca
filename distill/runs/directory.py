"""A run directory: owned by one process at a time, never left behind empty."""

import json
import os
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from os.path import lexists
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.files import sha256
from distill.core.preprocessing import FILE as PREPROCESS
from distill.core.rank import first_process
from distill.core.stopping import Stopped, working
from distill.core.trust import further
from distill.recipes import Recipe, read
from distill.results.model_card import FILE as CARD
from distill.runs.checkpoint_io import has_sidecar, latest_valid_checkpoint, newest_valid
from distill.runs.overwrite import ASIDE, drop, put_aside, put_back

STAGES = "stages"
"""The folder in which a run of several stages keeps theirs."""
WEIGHTS, PACKED = "student.safetensors", "student.packed.safetensors"
_FILES = (
    "config.yaml",
    "metrics.csv",
    "result.json",
    "test.json",
    *(WEIGHTS, PACKED, "teacher.safetensors"),
    *("validation.safetensors", "validation.png"),
    "validations.json",
    PREPROCESS,
    CARD,
    "error.txt",
)
_WRITTEN = (
    *_FILES,
    *(f".{name}.tmp" for name in _FILES),
    "checkpoints/*.ckpt",
    "checkpoints/*.ckpt.sha256",
    "checkpoints/.*.tmp",
    "peers/*.safetensors",
    "losses/*.safetensors",
)
"""What runs write, and nothing else is ever removed."""
_INNER = ("checkpoints", "peers", "losses")
_NAME = "# recipe: "


@contextmanager
def lock_run_dir(run_dir: Path, again: str = "", overwrite: bool = False) -> Iterator[None]:
    """Own a run directory; what was written for a recipe that turns out wrong is removed.

    Once some work was done, everything is kept. Of a run's processes the first owns it for all.

    Args:
        run_dir: The directory; made if need be.
        again: What to say after a signal that came outside of training, where work was done;
            by default how to resume.
        overwrite: Put a run that is there aside, until the new one has done some work.

    Raises:
        RecipeError: If another process owns it, with its number.
    """
    if not first_process():
        yield
        return
    made = _make(run_dir)
    lock, owner = _owned(run_dir), run_dir / ".pid"
    if overwrite:
        put_aside(run_dir, [*_parts(run_dir)])
    held_a_run, before = (run_dir / "config.yaml").exists(), {*_parts(run_dir)}
    try:
        owner.write_text(str(os.getpid()))
        with working(str(run_dir)):
            yield
    except (RecipeError, Stopped) as error:
        anew = not held_a_run and not _holds_work(run_dir)
        if isinstance(error, Stopped):
            hint = again.format(run_dir) or f"go on with: {resume_command(run_dir)}"
            error.hint = "nothing was saved yet" if anew else hint
        if anew:
            clear_run(run_dir, before)
            put_back(run_dir)
            owner.unlink(missing_ok=True)
            _remove_made(run_dir, made)
        raise
    finally:
        drop(run_dir)
        owner.unlink(missing_ok=True)
        lock.release()


def _owned(run_dir: Path) -> FileLock:
    """Own a directory."""
    lock, owner = FileLock(run_dir / ".lock", timeout=0), run_dir / ".pid"
    _check_ours(run_dir / ".lock", owner)
    try:
        lock.acquire()
    except Timeout as error:
        pid = owner.read_text() if owner.exists() else "unknown"
        raise RecipeError(str(run_dir), f"is in use by process {pid}") from error
    return lock


def _make(run_dir: Path) -> list[Path]:
    """Make a directory; returns it and those above it that were not there."""
    try:
        missing = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
        run_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RecipeError(str(run_dir), "cannot be a folder: a file is in its place") from error
    except (OSError, ValueError) as error:  # no such name, or nothing may be written there
        told = f"cannot be a folder: {getattr(error, 'strerror', None) or error}"
        raise RecipeError(shown(str(run_dir)), told) from error
    return missing


def _check_ours(lock: Path, owner: Path) -> None:
    """Check that somebody else's files do not stand where the owner of a directory is noted."""
    there = [path for path in (lock, owner) if lexists(path)]
    theirs = [path for path in there if path.is_symlink() or not path.is_file()]
    if lexists(owner) and not theirs:  # ours holds a number, and is never without its lock
        theirs = [] if lexists(lock) and owner.read_bytes().isdigit() else [owner]
    if theirs:
        raise RecipeError(str(theirs[0]), "is not of a run: choose another folder")


def _holds_work(run_dir: Path) -> bool:
    """Whether it came as far as a checkpoint, a result or a manifest."""
    patterns = ("**/*.ckpt", "*.json", f"{STAGES}/*/*.json")
    found = (path for pattern in patterns for path in run_dir.glob(pattern))
    return any(ASIDE not in path.parts for path in found)


def clear_run(run_dir: Path, kept: Collection[Path] = ()) -> None:
    """Remove what a run wrote, and no file of anybody else's.

    Args:
        run_dir: The run's directory.
        kept: Files and folders that were there before.
    """
    ours = [path for path in _parts(run_dir) if path not in kept]
    for path in ours:
        if not path.is_dir():
            path.unlink()
        elif not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _parts(run_dir: Path) -> Iterator[Path]:
    """The files that runs write, as far as they are there, and the folders, after what is in them.

    Also those behind links, which a plain walk leaves out.
    """
    stages = [*run_dir.glob(f"{STAGES}/*")]
    for folder in [*stages, run_dir]:
        for pattern in _WRITTEN:
            found = _found(folder, pattern)
            yield from (path for path in found if path.suffix != ".ckpt" or has_sidecar(path))
        yield from (folder / inner for inner in _INNER if (folder / inner).is_dir())
    yield from (folder for folder in [*stages, run_dir / STAGES] if folder.is_dir())


def _remove_made(run_dir: Path, made: list[Path]) -> None:
    """Remove folders that were made for a run, from the inside out, while they are empty."""
    if made:
        (run_dir / ".lock").unlink(missing_ok=True)
    for folder in made:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def refuse_second_run(run_dir: Path) -> None:
    """Check that a directory holds no run yet, and nothing that a run would write over.

    Raises:
        RecipeError: If it does.
    """
    for inner in (*_INNER, STAGES):
        if lexists(run_dir / inner) and not (run_dir / inner).is_dir():
            raise RecipeError(str(run_dir / inner), "is in the way of a run's folder of that name")
    folders = [run_dir, *run_dir.glob(f"{STAGES}/*")]
    if not any(any(_found(folder, pattern)) for folder in folders for pattern in _WRITTEN):
        return
    advice = "use another --run_dir"
    if (run_dir / "config.yaml").is_file():
        advice += ", or --overwrite, which removes the run in it"
        if resumable(run_dir) or not _saved(run_dir):
            advice = f"use `{resume_command(run_dir)}`, {advice.removeprefix('use ')}"
    raise RecipeError(str(run_dir), f"is not empty: {advice}")


def _saved(run_dir: Path) -> bool:
    """Whether a run came as far as a checkpoint, be it damaged now."""
    return any(any(run_dir.glob(f"{place}checkpoints/*.ckpt")) for place in ("", f"{STAGES}/*/"))


def resume_command(run_dir: Path) -> str:
    """The command that goes on with a run, with the trust that this one was given."""
    trust = f" --trust {','.join(further())}" if further() else ""
    return f"distill resume {shlex.quote(str(run_dir))}{trust}"


def _found(folder: Path, pattern: str) -> Iterator[Path]:
    """The files of a pattern; ``glob`` leaves out links to nowhere that are named whole."""
    if "*" in pattern:
        yield from folder.glob(pattern)
    elif lexists(folder / pattern):
        yield folder / pattern


def checkpoint_to_resume(run_dir: Path) -> Path | None:
    """The newest valid checkpoint of a run, with a warning if a newer one is damaged.

    Returns:
        None where the run was ended before its first one: it starts anew.

    Raises:
        RecipeError: If all of them are damaged, naming them.
    """
    if not any((run_dir / "checkpoints").glob("*.ckpt")):
        return None
    try:
        return latest_valid_checkpoint(run_dir / "checkpoints")
    except ValueError as error:
        told = f"{error}; `distill fit RECIPE --run_dir {run_dir} --overwrite` starts anew"
        raise RecipeError(str(run_dir), told) from error


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
    recipe, weights, result = (run_dir / name for name in ("config.yaml", WEIGHTS, "result.json"))
    for path in (weights, result, recipe):
        if not path.is_file():
            raise RecipeError(str(path), "is missing: not the directory of a finished run")
    found = _read_result(result)
    hashes = found.get("sha256")
    expected = hashes.get(WEIGHTS) if isinstance(hashes, dict) else None
    if expected is not None and sha256(weights) != expected:
        raise RecipeError(str(weights), "is damaged: it does not match its hash in result.json")
    return Recipe(read(recipe)), found


def _read_result(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(str(path), f"cannot be read: {error}") from error
    match found:
        case {"dataset": {"classes": list()}}:
            return dict(found)
    raise RecipeError(str(path), "is not the result of a run")


def load_weights(network: nn.Module, path: Path) -> None:
    """Give a network the tensors of a safetensors file.

    Raises:
        RecipeError: If the file is damaged, or is another network's.
    """
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise RecipeError(str(path), f"is damaged: {error}") from error
    except RuntimeError as error:  # torch's, with a line for each kind of difference
        told = f"does not fit {type(network).__name__}: {short(str(error), 300)}"
        raise RecipeError(str(path), told) from error
