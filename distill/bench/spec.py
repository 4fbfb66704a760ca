"""A bench as a file: which recipes, which seeds, compared with what."""

from dataclasses import dataclass, field
from pathlib import Path

from distill.errors import RecipeError
from distill.recipe_check import check_arguments
from distill.recipes import read


@dataclass(frozen=True)
class Bench:
    """What a bench compares.

    Attributes:
        baseline: The recipe that the others are compared with: the student alone.
        methods: The other recipes; a path or a name each.
        seeds: Every recipe is run with each of them; the pairs of a seed are compared.
        teacher: A recipe whose student is the teacher of all methods; trained once, with seed 0,
            and given to them as ``model.teacher.run_dir``. None: their own teachers.
        overrides: ``dotted.key: value`` for the baseline and the methods.
        teacher_overrides: ``dotted.key: value`` for the teacher.
    """

    baseline: str
    methods: list[str]
    seeds: list[int]
    teacher: str | None = None
    overrides: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    teacher_overrides: dict[str, str | int | float | bool | None] = field(default_factory=dict)


def read_bench(path: Path) -> Bench:
    """Read a bench file.

    Raises:
        RecipeError: If a key is missing, unknown or of the wrong kind.
    """
    tree = read(path)
    check_arguments(str(path), Bench, tree)
    if not tree["methods"] or len(set(tree["seeds"])) != len(tree["seeds"]) or not tree["seeds"]:
        raise RecipeError(str(path), "needs at least one method and seed, and no seed twice")
    return Bench(**tree)
