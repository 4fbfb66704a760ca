"""One run of a bench or a sweep, in its own directory: carried out, gone on with, or read."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.runs.directory import clear_run, resumable
from distill.runs.fit import fit
from distill.runs.result import Result
from distill.runs.wandb.connection import finish

_NOTE = "bench.sha256"


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
        """Check that the directory is empty, or was made for a bench, a sweep or a chain.

        Raises:
            RecipeError: If it holds anything else.
        """
        if (self.run_dir / _NOTE).exists() or not self.run_dir.exists():
            return
        if not self.run_dir.is_dir():
            raise RecipeError(str(self.run_dir), "is a file; choose another --out or --run_dir")
        if (self.run_dir / "config.yaml").exists():
            message = "contains a run started by `distill fit`; choose another --out or --run_dir"
            raise RecipeError(str(self.run_dir), message)
        if any(path.name not in (".lock", ".pid") for path in self.run_dir.iterdir()):
            message = "holds files of somebody else; choose another --out or --run_dir"
            raise RecipeError(str(self.run_dir), message)

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
        (self.run_dir / "error.txt").unlink(missing_ok=True)
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


def digest(recipe: Recipe, teacher: str) -> str:
    """SHA-256 of a recipe, of the order of its stages, and of its teacher's digest."""
    tree = recipe.tree
    order = " ".join(tree.get("stages") or ())
    return hashlib.sha256((json.dumps(tree, sort_keys=True) + order + teacher).encode()).hexdigest()
