"""A recipe with ``stages`` as the recipes of its stages, each complete in itself.

A stage is the recipe with changes: dotted keys of ``model``, ``data`` and ``trainer`` with their
values, ``losses``, the names of its terms, and ``train``, the parts that it trains.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes.check import check
from distill.recipes.files import resolve
from distill.recipes.recipe import STAGES, Recipe

_SECTIONS = ("model", "data", "trainer")
_OWN = ("losses", "train")


def stages(recipe: Recipe) -> dict[str, Recipe]:
    """The recipes of the stages by name, in their order, resolved.

    Args:
        recipe: One with ``stages``.

    Raises:
        RecipeError: Naming the key of a stage that is wrong.

    Example:
        >>> named = {"a": {"trainer.max_epochs": 3}, "b": {}}
        >>> recipe = Recipe({"trainer": {"max_epochs": 9}, "stages": named})
        >>> [stage.get("trainer.max_epochs") for stage in stages(recipe).values()]
        [3, 9]
    """
    given = recipe.tree.get(STAGES)
    if not isinstance(given, Mapping) or not given:
        raise RecipeError(
            STAGES, f"expected the keys of each stage under its name, got {shown(given)}"
        )
    found = {}
    for name, changes in given.items():
        _check(f"{STAGES}.{short(str(name))}", name, changes)
        with in_stage(recipe, name):
            found[name] = _log_apart(_changed(recipe, changes or {}), name)
    return found


def last_stage(recipe: Recipe) -> Recipe:
    """The recipe of the last stage; one without stages is its own."""
    return list(stages(recipe).values())[-1] if recipe.staged else recipe


def check_stages(recipe: Recipe, trusted: Sequence[str] = ()) -> None:
    """Check a whole recipe: see ``recipes.check.check``; with stages, check each of them.

    Args:
        recipe: The recipe.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    if not recipe.staged:
        check(recipe.tree, trusted)
        return
    for name, own in stages(recipe).items():
        with in_stage(recipe, name):
            check(own.tree, trusted)


@contextmanager
def in_stage(recipe: Recipe, name: str) -> Iterator[None]:
    """Errors in what a stage changes carry its name; in the first stage others do not.

    What is wrong in a later stage alone is wrong because of what it changes.
    """
    try:
        yield
    except RecipeError as error:
        changed = [_short(key) for key in recipe.tree[STAGES][name] or ()]
        section, key = error.key.split(".")[0], _short(error.key)
        touched = any(f"{key}.".startswith(f"{each}.") or each.startswith(key) for each in changed)
        if section not in (*_SECTIONS, *_OWN, "recipe"):
            raise
        if section not in _OWN and name == next(iter(recipe.tree[STAGES])) and not touched:
            raise
        below = "" if key == "recipe" else f".{key}"
        raise RecipeError(f"stages.{name}{below}", error.message) from error


def _check(key: str, name: object, changes: object) -> None:
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) is None:
        needed = "stage names have up to 100 letters, digits, _ and -"
        raise RecipeError(key, needed)
    if not isinstance(changes, Mapping | None):
        raise RecipeError(key, f"expected a mapping, got {type(changes).__name__} {shown(changes)}")
    for place in changes or ():
        section, *rest = _short(place).split(".")
        if section in _OWN and not rest:
            _check_names(f"{key}.{place}", (changes or {})[place])
        elif section not in _SECTIONS or not rest:
            known = "a stage has losses, train, and dotted keys such as trainer.max_epochs"
            raise RecipeError(f"{key}.{place}", known + nearest(section, (*_OWN, *_SECTIONS)))
        elif (section, rest[0]) == ("model", "student"):
            raise RecipeError(f"{key}.{place}", "the student is the same in all stages")


def _check_names(key: str, given: object) -> None:
    names = given if isinstance(given, list) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise RecipeError(key, f"needs a list of names, got {shown(given)}")


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    own = Recipe({name: value for name, value in recipe.tree.items() if name != STAGES})
    # Sorted, so that a key comes before those below it.
    for key in sorted(set(changes) - set(_OWN)):
        own = own.put(key, changes[key])
    if "losses" in changes:
        own = _with_losses(own, changes["losses"])
    if "train" in changes:
        own = own.with_callback("distill.stages.TrainOnly", train=changes["train"])
    return Recipe(resolve(own.tree))


def _log_apart(own: Recipe, stage: str) -> Recipe:
    """A stage is a run of its own in W&B, also where the recipe gives the run an id."""
    loggers = deepcopy(own.loggers)
    for logger in loggers:
        arguments = logger["init_args"]
        if isinstance(arguments.get("id"), str):
            for key in {"id", "name"} & set(arguments):
                arguments[key] = f"{arguments[key]}-{stage}"
    return own.with_loggers(loggers)


def _with_losses(own: Recipe, names: list[str]) -> Recipe:
    terms = own.get("model.losses")
    if not isinstance(terms, Mapping):
        raise RecipeError("model.losses", "expected terms by name")
    for name in names:
        if name not in terms:
            raise RecipeError("losses", f"no term {name!r} in model.losses{nearest(name, terms)}")
    return own.put("model.losses", {name: term for name, term in terms.items() if name in names})


def _short(key: str) -> str:
    """A dotted key as people write it."""
    return str(key).replace(".init_args", "")
