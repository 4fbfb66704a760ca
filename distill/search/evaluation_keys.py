"""What a search file says of how candidates are evaluated: ``evaluation`` and ``supernet``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.search.evaluations import Blockwise, Evaluation, Inherited, Trained

Tree = dict[str, Any]
_KEYS = ("recipe", "overrides")


def check_class(key: str, target: Any) -> None:  # noqa: ANN401 - a class or function
    """Check what ``evaluation`` names.

    Raises:
        RecipeError: If it is no evaluation.
    """
    if target not in (Trained, Inherited, Blockwise):
        told = "needs distill.search.Trained or distill.search.Inherited"
        raise RecipeError(key, f"{told}, or distill.search.Blockwise")


def check_evaluation(
    path: Path, tree: Mapping[str, Any], evaluation: Evaluation, derives: bool = False
) -> None:
    """Check that an evaluation has what it needs, and nothing that it does not use.

    Args:
        path: The search file.
        tree: Its content.
        evaluation: What it names.
        derives: Whether its strategy derives designs from supernets.

    Raises:
        RecipeError: Naming the key that is wrong.
    """
    inherits, given = isinstance(evaluation, Inherited), tree.get("supernet")
    if derives and inherits:
        told = "is for strategies that propose designs; what is derived is trained"
        raise RecipeError(f"{path}: evaluation", told)
    if derives:
        return
    if isinstance(evaluation, Blockwise):
        told = "rates designs for strategy distill.search.Derived, which takes the best"
        raise RecipeError(f"{path}: evaluation", told)
    if inherits and given is None:
        told = "is missing: designs inherit their weights from it, such as {recipe: NAME}"
        raise RecipeError(f"{path}: supernet", told)
    if not inherits and given is not None:
        told = "is distill.search.Trained, which has no use for supernet: leave one of them out"
        raise RecipeError(f"{path}: evaluation", told)
    if inherits and tree.get("parameters") is not None:
        told = "would each need a supernet of their own; set them in finals.overrides"
        raise RecipeError(f"{path}: parameters", told)
    name = tree["metric"]["name"]
    if inherits and not name.startswith("val/"):
        told = f"needs a figure of val/, as designs that inherit have no run, got {name}"
        raise RecipeError(f"{path}: metric.name", told)


def read_supernet(key: str, given: object) -> Tree:
    """Read ``supernet``: its ``recipe``, with ``overrides``; empty where it is left out.

    Raises:
        RecipeError: Naming the key that is wrong.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not isinstance(given.get("recipe"), str):
        raise RecipeError(key, f"needs recipe, a file or a name, got {shown(given)}")
    for name in given:
        if name not in _KEYS:
            raise RecipeError(f"{key}.{short(str(name))}", f"is not known{nearest(name, _KEYS)}")
    overrides = given.get("overrides") or {}
    if not isinstance(overrides, Mapping):
        raise RecipeError(f"{key}.overrides", f"needs keys and values, got {shown(overrides)}")
    return {**given, "overrides": dict(overrides)}
