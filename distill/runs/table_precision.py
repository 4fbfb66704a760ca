"""Runs that are compared compute in one way: a trial for each student, kept with their table."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from distill.core.errors import RecipeError
from distill.core.files import write_json
from distill.recipes import Recipe
from distill.recipes.recipe import PRECISION
from distill.recipes.stages import stages
from distill.runs.repeatable import RepeatableRun
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import LAYOUT, Changes, place_of, settle

FILE = "precision.json"


class TablePrecision:
    """What ``trainer.precision: auto`` means for the runs of a bench, a sweep, a search or a chain.

    Args:
        folder: Of the table; what was measured for it once is read from there.
        trusted: Further packages whose classes the recipes may name.
        console: Where to tell of a trial.
    """

    def __init__(
        self, folder: Path, trusted: Sequence[str] = (), console: Console | None = None
    ) -> None:
        self._folder, self._trusted, self._console = folder, tuple(trusted), console
        self._known: dict[str, Changes] = {}

    def of(self, run: RepeatableRun, like: Recipe | None = None) -> RepeatableRun:
        """The run with what was measured; itself where its recipe names a precision.

        Its digest tells what was chosen.

        A recipe that cannot be tried is left as it is: its run will tell what is wrong with it.

        Args:
            run: The run.
            like: The recipe that the trial is made with; None: the run's own.
        """
        recipe, taken = run.recipe, Changes()
        while (asking := _asking(recipe)) is not None:
            place, own = asking
            changes = self._changes(like if like is not None and like.measures else own)
            if not changes:
                return run
            for key, value in changes.items():
                recipe = recipe.put(place + key, value)
            taken |= {place + key: value for key, value in changes.items()}
        if not taken:
            return run
        key = hashlib.sha256((run.digest + json.dumps(taken)).encode()).hexdigest()
        return replace(run, recipe=recipe, digest=key)

    def _changes(self, recipe: Recipe) -> Changes:
        asked = [recipe.get(key) for key in ("model.student", LAYOUT, "trainer.accelerator")]
        key = json.dumps(asked, sort_keys=True)
        if key not in self._known:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f".{FILE}.lock"):
                kept = _read(self._folder / FILE)
                if key not in kept and (found := self._measured(recipe)):
                    kept[key] = found
                    write_json(self._folder / FILE, kept)
            self._known[key] = kept.get(key, {})
        return self._known[key]

    def _measured(self, recipe: Recipe) -> Changes:
        alone = recipe.put("trainer.logger", False).put("trainer.callbacks", None)
        try:
            with quiet_lightning():
                session = Session(alone, self._folder, self._trusted)
                session.set_up_data()
                return settle(session, self._console)
        except RecipeError:
            return {}


def _asking(recipe: Recipe) -> tuple[str, Recipe] | None:
    """The first recipe or stage whose precision is to be measured, and where it says so."""
    if not recipe.staged:
        return ("", recipe) if recipe.measures else None
    for name, own in stages(recipe).items():
        if own.measures:
            return place_of(recipe, name), own
    return None


def _read(path: Path) -> dict[str, Any]:
    """What was measured before.

    Raises:
        RecipeError: If the file is not one of ours.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = None
    if isinstance(found, Mapping) and all(_is_choice(value) for value in found.values()):
        return dict(found)
    raise RecipeError(str(path), "does not hold what a table's trials found: choose another folder")


def _is_choice(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) in ({PRECISION}, {PRECISION, LAYOUT})
