"""Refuses losses of a fixed width where a later stage leaves as many channels as weights say."""

from collections.abc import Iterator, Mapping
from typing import Any

from distill.core.errors import RecipeError
from distill.recipes import Recipe

_STUDENT, _PRUNED, _TAP = "model.student", "distill.compress.pruned", "student@"


def refuse_unknown_widths(first: Recipe, own: Recipe) -> None:
    """Refuse a stage whose loss has fixed channels where global pruning may cut any number.

    How many are left depends on weights that are not trained yet, so that no rehearsal can tell.

    Args:
        first: The recipe of the first stage: what that cuts is known when it is built.
        own: The recipe of a stage.

    Raises:
        RecipeError: Naming the loss and what would fix the width.
    """
    known = len(list(_global_cuts(first.get(_STUDENT))))
    cuts = list(_global_cuts(own.get(_STUDENT)))  # the outermost, which is the last, first
    kept = [_kept(cut) for cut in cuts[: len(cuts) - known]]
    losses = own.get("model.losses")
    for name, term in losses.items() if kept and isinstance(losses, Mapping) else ():
        for key in _taps(term):
            path = key.removeprefix(_TAP)
            if not all(path in paths for paths in kept):
                told = f"{key} keeps as many channels as trained weights say, the loss has a fixed"
                instead = f"give pruned keep: [{path.partition(':')[0]}] or spread: uniform"
                raise RecipeError(f"model.losses.{name}", f"{told} number: {instead}")


def _global_cuts(spec: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any value of a recipe
    """The arguments of each cut that ranks blocks of all layers together."""
    while isinstance(spec, Mapping):
        arguments = spec.get("init_args")
        arguments = arguments if isinstance(arguments, Mapping) else {}
        cuts = spec.get("class_path") == _PRUNED and arguments.get("flops") != 1
        if cuts and arguments.get("spread", "global") == "global":
            yield arguments
        spec = arguments.get("model")


def _kept(arguments: Mapping[str, Any]) -> list[str]:
    keep = arguments.get("keep")
    return [str(path) for path in keep] if isinstance(keep, list) else []


def _taps(term: Any) -> list[str]:  # noqa: ANN401 - any value of a recipe
    """The student's places that a loss with a fixed width reads."""
    loss = term.get("loss") if isinstance(term, Mapping) else None
    arguments = loss.get("init_args") if isinstance(loss, Mapping) else None
    fixed = isinstance(arguments, Mapping) and any(k.startswith("student_") for k in arguments)
    read = (term.get("inputs") or {}).values() if fixed else ()
    keys = [key for given in read for key in (given if isinstance(given, list) else [given])]
    return [key for key in keys if isinstance(key, str) and key.startswith(_TAP)]
