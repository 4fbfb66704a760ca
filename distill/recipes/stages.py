"""A recipe with ``stages`` as the recipes of its stages, each complete in itself.

A stage is the recipe with changes: dotted keys of ``model``, ``data`` and ``trainer`` with their
values, ``losses``, the names of its terms, ``train``, the parts that it trains, and ``wrap``, a
function that changes the student as it is handed over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.initial_weights import wrapped
from distill.core.suggest import nearest
from distill.recipes.check import check
from distill.recipes.files import put, resolve
from distill.recipes.recipe import STAGES, Recipe

_SECTIONS = ("model", "data", "trainer")
_OWN = ("losses", "train", "wrap")
WRAP = "wrap"
_STUDENT = "model.student"


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
    found: dict[str, Recipe] = {}
    wraps: list[Any] = []
    for name, changes in given.items():
        _check(f"{STAGES}.{short(str(name))}", name, changes)
        if wrap := wrap_of(changes):
            wraps.append(wrap)
        with in_stage(recipe, name):
            found[name] = _log_apart(_changed(recipe, changes or {}, wraps), name)
    return found


def wrap_of(changes: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - a class path, or with arguments
    """What a stage changes the student with, None if it does not; with its dotted keys."""
    given = {WRAP: (changes or {}).get(WRAP)}
    for key in sorted(map(str, changes or ())):
        if key.startswith(f"{WRAP}."):
            put(given, key, deepcopy((changes or {})[key]))
    return given[WRAP]


def first_student(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """The student that the first stage begins with, and what stages wrap it in, resolved."""
    student = last_stage(recipe).get(_STUDENT)
    wraps = {}
    for name, changes in reversed(recipe.tree[STAGES].items()):
        if wrap_of(changes):
            arguments = dict(student["init_args"])
            student, outer = arguments.pop("model"), student
            wraps[name] = {**outer, "init_args": arguments}
    return student, wraps


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
        key = _told_at(recipe, name, _short(error.key))
        section = key.split(".")[0]
        touched = any(f"{key}.".startswith(f"{each}.") or each.startswith(key) for each in changed)
        if section not in (*_SECTIONS, *_OWN, "recipe"):
            raise
        if section not in _OWN and name == next(iter(recipe.tree[STAGES])) and not touched:
            raise
        below = "" if key == "recipe" else f".{key}"
        raise RecipeError(f"stages.{name}{below}", error.message) from error


def _told_at(recipe: Recipe, name: str, key: str) -> str:
    """What is wrong in a student that this stage wraps stands in its ``wrap``, where it can."""
    inner = key.startswith(f"{_STUDENT}.model")
    if f"{key}.".startswith(f"{_STUDENT}.") and not inner and wrap_of(recipe.tree[STAGES][name]):
        return WRAP + key.removeprefix(_STUDENT)
    return key


def _check(key: str, name: object, changes: object) -> None:
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) is None:
        needed = "stage names have up to 100 letters, digits, _ and -"
        raise RecipeError(key, needed)
    if not isinstance(changes, Mapping | None):
        raise RecipeError(key, f"expected a mapping, got {type(changes).__name__} {shown(changes)}")
    for place in changes or ():
        section, *rest = _short(place).split(".")
        if section == WRAP:
            _check_wrap(f"{key}.{WRAP}", wrap_of(changes))
        elif section in _OWN and not rest:
            _check_names(f"{key}.{place}", (changes or {})[place])
        elif section not in _SECTIONS or not rest:
            known = "a stage has losses, train, wrap, and dotted keys such as trainer.max_epochs"
            raise RecipeError(f"{key}.{place}", known + nearest(section, (*_OWN, *_SECTIONS)))
        elif (section, rest[0]) == ("model", "student"):
            raise RecipeError(
                f"{key}.{place}", "the student is the same in all stages, but for wrap"
            )


def _check_names(key: str, given: object) -> None:
    names = given if isinstance(given, list) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise RecipeError(key, f"needs a list of names, got {shown(given)}")


def _check_wrap(key: str, given: object) -> None:
    spec = {"class_path": given} if isinstance(given, str) else given
    if not isinstance(spec, Mapping) or not isinstance(spec.get("class_path"), str):
        needed = "needs a class_path such as distill.compress.quantized, with init_args"
        raise RecipeError(key, f"{needed}, got {shown(given)}")
    arguments = spec.get("init_args") or {}
    if not isinstance(arguments, Mapping):
        raise RecipeError(f"{key}.init_args", f"needs keys and values, got {shown(arguments)}")
    if "model" in arguments:
        raise RecipeError(f"{key}.model", "is the student that is handed over: leave it out")


def _changed(recipe: Recipe, changes: Mapping[str, Any], wraps: Sequence[Any]) -> Recipe:
    own = Recipe({name: value for name, value in recipe.tree.items() if name != STAGES})
    # Sorted, so that a key comes before those below it.
    for key in sorted(set(changes) - set(_OWN)):
        if not key.startswith(f"{WRAP}."):
            own = own.put(key, changes[key])
    for wrap in wraps:
        own = own.put(_STUDENT, wrapped(wrap, own.get(_STUDENT)))
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
