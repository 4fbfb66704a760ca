"""What a search file says of a gradient search: the seeds of its supernets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.echo import shown
from distill.core.errors import RecipeError

Tree = dict[str, Any]
_REFUSED = (
    ("trials", "is the number of seeds"),
    ("parameters", "are not searched"),
    ("prefilter", "has nothing to choose from"),
)


def read_seeds(path: Path, tree: Mapping[str, Any], derives: bool) -> Tree:
    """Check ``seeds``, and that nothing stands beside them that a gradient search has no use for.

    Args:
        path: The search file.
        tree: Its content.
        derives: Whether its strategy derives designs from supernets.

    Returns:
        What they say of other keys: there are as many trials as seeds.

    Raises:
        RecipeError: Naming the key that is wrong.
    """
    if not derives:
        if "seeds" in tree:
            told = "is for strategy distill.search.Derived, which takes its designs from supernets"
            raise RecipeError(f"{path}: seeds", told)
        return {}
    for key, told in _REFUSED:
        if key in tree:
            raise RecipeError(f"{path}: {key}", f"{told} where designs are derived; leave it out")
    if "supernet" not in tree:
        raise RecipeError(f"{path}: supernet", "is missing: designs are derived from it")
    seeds = _seeds(f"{path}: seeds", tree.get("seeds", [0]))
    return {"seeds": seeds, "trials": len(seeds)}


def _seeds(key: str, given: object) -> list[int]:
    if not isinstance(given, list) or not given or any(type(seed) is not int for seed in given):
        raise RecipeError(key, f"needs whole numbers, got {shown(given)}")
    if len(set(given)) < len(given):
        raise RecipeError(key, f"needs seeds, none twice, got {shown(given)}")
    return given
