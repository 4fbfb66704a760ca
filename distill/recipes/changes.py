"""What may change when a run goes on: the rest is in its checkpoint, or makes another run."""

from collections.abc import Iterator, Mapping

from distill.core.errors import RecipeError
from distill.recipes.recipe import Recipe

_TRAINER = (
    *("max_epochs", "max_steps", "max_time"),
    *("callbacks", "logger", "log_every_n_steps", "enable_progress_bar"),
)
_MAY_CHANGE = (*(f"trainer.{key}" for key in _TRAINER), "data.init_args.workers")
_LENGTHS = ("T_max", "total_steps", "total_iters")


def check_changes(before: Recipe, after: Recipe) -> None:
    """Refuse what a run that goes on would write down and not do.

    Args:
        before: The recipe that the run has.
        after: The recipe that it is asked to go on with.

    Raises:
        RecipeError: Naming a key that may not change, or a schedule that would run past its end.

    Example:
        >>> run = {"trainer": {"max_epochs": 4}, "data": {"init_args": {"train": "a"}}}
        >>> check_changes(Recipe(run), Recipe(run | {"trainer": {"max_epochs": 8}}))
        >>> check_changes(Recipe(run), Recipe(run | {"data": {"init_args": {"train": "b"}}}))
        Traceback (most recent call last):
        distill.core.errors.RecipeError: data.train: cannot change when a run goes on: train anew
    """
    old, new = dict(_leaves(before.tree)), dict(_leaves(after.tree))
    for key in sorted(set(old) | set(new)):
        if old.get(key) == new.get(key) and (key in old) == (key in new):
            continue
        own = key.split(".", 2)[-1] if key.startswith("stages.") else key
        if not any(f"{own}.".startswith(f"{may}.") for may in _MAY_CHANGE):
            shown = key.replace(".init_args", "")
            raise RecipeError(shown, "cannot change when a run goes on: train anew")
        if own in ("trainer.max_epochs", "trainer.max_steps"):
            _check_schedule(key, before)


def _check_schedule(key: str, recipe: Recipe) -> None:
    for place, value in _leaves(recipe.get("model.scheduler")):
        name = place.rsplit(".", 1)[-1]
        if name in _LENGTHS and value is not None:
            told = f"the run's schedule has {name} {value} and would not follow: begin a new run"
            told += " where it ended, with `distill fit RECIPE --warm_start RUN_DIR`"
            raise RecipeError(key, told)


def _leaves(tree: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, tree
