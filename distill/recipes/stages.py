"""A recipe with ``stages`` as the recipes of its stages, each complete in itself.

A stage is the recipe with changes: dotted keys of ``model``, ``data`` and ``trainer`` with their
values, ``losses``, the names of its terms, and ``train``, the parts that it trains.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes import Tree, put, resolve
from distill.recipes import check as recipe_check

_SECTIONS = ("model", "data", "trainer")
_OWN = ("losses", "train")


def trees(tree: Tree) -> dict[str, Tree]:
    """The recipes of the stages by name, in their order, resolved.

    Args:
        tree: What ``recipes.load`` returned, with ``stages``.

    Raises:
        RecipeError: Naming the key of a stage that is wrong.

    Example:
        >>> stages = {"a": {"trainer.max_epochs": 3}, "b": {}}
        >>> tree = {"trainer": {"max_epochs": 9}, "stages": stages}
        >>> [stage["trainer"]["max_epochs"] for stage in trees(tree).values()]
        [3, 9]
    """
    stages = tree.get("stages")
    if not isinstance(stages, Mapping) or not stages:
        raise RecipeError("stages", f"needs the keys of each stage under its name, got {stages!r}")
    found = {}
    for name, changes in stages.items():
        _check(f"stages.{name}", name, changes)
        with in_stage(tree, name):
            found[name] = _changed(tree, changes or {})
            _log_apart(found[name], name)
    return found


def last(tree: Tree) -> Tree:
    """The recipe of the last stage; a recipe without stages is its own."""
    return list(trees(tree).values())[-1] if "stages" in tree else tree


def check(tree: Tree, trusted: Sequence[str] = ()) -> None:
    """Check a whole recipe: see ``recipe_check.check``; with stages, check each of them.

    Args:
        tree: What ``recipes.load`` returned.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    if "stages" not in tree:
        recipe_check.check(tree, trusted)
        return
    for name, own in trees(tree).items():
        with in_stage(tree, name):
            recipe_check.check(own, trusted)


@contextmanager
def in_stage(tree: Tree, name: str) -> Iterator[None]:
    """Errors in what a stage changes carry its name; in the first stage others do not.

    What is wrong in a later stage alone is wrong because of what it changes.
    """
    try:
        yield
    except RecipeError as error:
        changed = [_short(key) for key in tree["stages"][name] or ()]
        section, key = error.key.split(".")[0], _short(error.key)
        touched = any(f"{key}.".startswith(f"{each}.") or each.startswith(key) for each in changed)
        if section not in (*_SECTIONS, *_OWN, "recipe"):
            raise
        if section not in _OWN and name == next(iter(tree["stages"])) and not touched:
            raise
        below = "" if key == "recipe" else f".{key}"
        raise RecipeError(f"stages.{name}{below}", error.message) from error


def _check(key: str, name: object, changes: object) -> None:
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
        needed = "a stage's name is that of its folder: letters, digits, _ and -"
        raise RecipeError(key, needed)
    if not isinstance(changes, Mapping | None):
        raise RecipeError(key, f"needs keys and values, got {changes!r}")
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
        raise RecipeError(key, f"needs a list of names, got {given!r}")


def _changed(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    own = deepcopy({section: value for section, value in tree.items() if section != "stages"})
    # Sorted, so that a key comes before those below it.
    for key in sorted(set(changes) - set(_OWN)):
        put(own, key, deepcopy(changes[key]))
    if "losses" in changes:
        _keep_losses(own, changes["losses"])
    if "train" in changes:
        _train_only(own, changes["train"])
    return resolve(own)


def _log_apart(own: Tree, stage: str) -> None:
    """A stage is a run of its own in W&B, also where the recipe gives the run an id."""
    loggers = (own.get("trainer") or {}).get("logger")
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        arguments = (logger.get("init_args") or {}) if isinstance(logger, dict) else {}
        if isinstance(arguments.get("id"), str):
            for key in {"id", "name"} & set(arguments):
                arguments[key] = f"{arguments[key]}-{stage}"


def _keep_losses(own: Tree, names: list[str]) -> None:
    arguments = (own.get("model") or {}).get("init_args") or {}
    terms = arguments.get("losses")
    if not isinstance(terms, Mapping):
        raise RecipeError("model.losses", "needs terms by name")
    for name in names:
        if name not in terms:
            raise RecipeError("losses", f"no term {name!r} in model.losses{nearest(name, terms)}")
    arguments["losses"] = {name: term for name, term in terms.items() if name in names}


def _train_only(own: Tree, parts: list[str]) -> None:
    trainer = own["trainer"] = own.get("trainer") or {}
    given = trainer.get("callbacks") or []
    callbacks = given if isinstance(given, list) else [given]
    only = {"class_path": "distill.stages.TrainOnly", "init_args": {"train": parts}}
    trainer["callbacks"] = [*callbacks, only]


def _short(key: str) -> str:
    """A dotted key as people write it."""
    return str(key).replace(".init_args", "")
