"""One run of a bench or a sweep, in its own directory: carried out, gone on with, or read."""

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path

from rich.console import Console

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.runs.directory import clear_run, resumable
from distill.runs.fit import fit
from distill.runs.result import Result
from distill.runs.wandb.connection import finish

_NOTE, _ERROR = "bench.sha256", "error.txt"


@dataclass(frozen=True)
class RepeatableRun:
    """What to run and where.

    Attributes:
        recipe: What to train.
        run_dir: Its directory.
        name: What to call the recipe in ``result.json``.
        digest: Of everything that the run depends on; a directory with another one is cleared.
        trusted: Further packages whose classes the recipe may name.
    """

    recipe: Recipe
    run_dir: Path
    name: str
    digest: str
    trusted: tuple[str, ...] = ()

    def result(self) -> Result | None:
        """What the run left, if it is finished."""
        path = self.run_dir / "result.json"
        if not self.is_owned() or not path.is_file():
            return None
        finished: Result = json.loads(path.read_text())
        return finished

    def is_owned(self) -> bool:
        """Whether the directory was made for this very run."""
        note = self.run_dir / _NOTE
        return note.is_file() and note.read_text() == self.digest

    def check_owner(self) -> None:
        """Check the directory; see :func:`check_owner`."""
        check_owner(self.run_dir)

    def train(self) -> Result:
        """Train, go on from a checkpoint, or read what is there, whichever is due.

        Raises:
            RecipeError: If the recipe is wrong, or the directory holds somebody else's run.
        """
        self.check_owner()
        if (finished := self.result()) is not None:
            return finished
        resume = self.is_owned() and resumable(self.run_dir)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if not resume:
            clear_run(self.run_dir)
        (self.run_dir / _NOTE).write_text(self.digest)
        (self.run_dir / _ERROR).unlink(missing_ok=True)
        quiet = Console(quiet=True)
        try:
            return fit(
                self.recipe,
                self.run_dir,
                name=self.name,
                resume=resume,
                trusted=self.trusted,
                console=quiet,
            )
        finally:
            finish()

    def note_error(self, text: str) -> None:
        """Write why the run failed into its directory, unless that is somebody else's."""
        with suppress(RecipeError):
            self.check_owner()
            self.run_dir.mkdir(parents=True, exist_ok=True)
            if not is_signed(self.run_dir):
                (self.run_dir / _NOTE).write_text(self.digest)
            (self.run_dir / _ERROR).write_text(text)


def check_owner(run_dir: Path) -> None:
    """Check that a directory is empty or not there, or was made for a bench, a sweep or a chain.

    Raises:
        RecipeError: If it holds anything else, or cannot be made.
    """
    choose = "choose another --out or --run_dir"
    standing = next(path for path in (run_dir, *run_dir.absolute().parents) if lexists(path))
    if not standing.is_dir():
        raise RecipeError(str(standing), f"is a file; {choose}")
    if is_signed(run_dir) or not run_dir.is_dir():
        return
    if (run_dir / "config.yaml").exists():
        raise RecipeError(str(run_dir), f"contains a run started by `distill fit`; {choose}")
    if any(path.name not in (".lock", ".pid") for path in run_dir.iterdir()):
        raise RecipeError(str(run_dir), f"holds files of somebody else; {choose}")


def is_signed(run_dir: Path) -> bool:
    """Whether a directory was made for a bench, a sweep or a chain."""
    note = run_dir / _NOTE
    return note.is_file() and re.fullmatch(r"[0-9a-f]{64}", note.read_text("latin-1")) is not None


def refuse_others(folder: Path, names: Iterable[str]) -> None:
    """Check that no file of somebody else stands where a command writes its tables and charts.

    Raises:
        RecipeError: Naming the first that does.
    """
    for path in (folder / each for name in names for each in (name, f".{name}.tmp")):
        if lexists(path):
            told = "was there before and is not written over; choose another folder"
            raise RecipeError(str(path), told)


def digest(recipe: Recipe, teacher: str) -> str:
    """SHA-256 of a recipe, of the order of its stages, and of its teacher's digest."""
    tree = recipe.tree
    order = " ".join(tree.get("stages") or ())
    return hashlib.sha256((json.dumps(tree, sort_keys=True) + order + teacher).encode()).hexdigest()
