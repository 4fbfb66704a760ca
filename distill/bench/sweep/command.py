"""What a sweep's trials run: ``distill fit RECIPE``, written as W&B's agents need it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distill.core.echo import shown
from distill.core.errors import RecipeError

Tree = dict[str, Any]
_DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]
_STARTS = (["distill"], ["${interpreter}", "-m", "distill"], ["python", "-m", "distill"])
_EXPECTED = "needs [${env}, distill, fit, RECIPE, --key=value ..., ${args}]"


@dataclass(frozen=True)
class Command:
    """What a trial runs.

    Attributes:
        recipe: A file or a name.
        overrides: ``dotted.key=value`` for every trial.
        trusted: Further packages that it asks to trust, which only who starts the sweep can grant.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


def read_command(key: str, tree: Tree) -> Command:
    """Read ``command`` and ``program`` of a sweep file.

    Args:
        key: What to call the command in a message.
        tree: The file's content.

    Raises:
        RecipeError: If it is not ``distill fit RECIPE ${args}``, with overrides if need be.
    """
    given = tree.get("command", _DEFAULT_COMMAND)
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise RecipeError(key, f"{_EXPECTED}, got {shown(given)}")
    program = str(tree.get("program", "${program}"))
    words = [program if word == "${program}" else word for word in given]
    words = words[1:] if words[:1] == ["${env}"] else words
    start = next((start for start in _STARTS if words[: len(start)] == start), None)
    if start is None or words[len(start) : len(start) + 1] != ["fit"]:
        raise RecipeError(key, f"{_EXPECTED}, got {shown(given)}")
    recipe, *rest = words[len(start) + 1 :] or [""]
    if not recipe or recipe.startswith(("-", "$")) or rest.count("${args}") != 1:
        raise RecipeError(key, f"{_EXPECTED}, got {shown(given)}")
    return Command(recipe, *_options(key, [word for word in rest if word != "${args}"]))


def _options(key: str, words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The overrides and the trusted packages."""
    overrides, trusted = [], []
    for word in words:
        name, equals, value = word.partition("=")
        if not name.startswith("--") or not equals or name in ("--run_dir", "--config"):
            raise RecipeError(key, f"{_EXPECTED}, got {shown(word)} after the recipe")
        if name == "--trust":
            trusted.append(value)
        else:
            dotted = "seed_everything" if name == "--seed" else name[2:]
            overrides.append(f"{dotted}={value}")
    return tuple(overrides), tuple(trusted)
