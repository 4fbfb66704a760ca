"""A bench as a file: which recipes, which seeds, compared with what."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes import read
from distill.recipes.check import check_arguments

Overrides = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """A recipe with changes of its own.

    Attributes:
        recipe: A path or a name.
        overrides: ``dotted.key: value``, after those of the bench; a value may be a class with its
            arguments, or a list of them.
        against: The method or variant that it is compared with; None: the bench's baseline.
    """

    recipe: str
    overrides: Overrides = field(default_factory=dict)
    against: str | None = None


@dataclass(frozen=True)
class Bench:
    """What a bench compares.

    Attributes:
        baseline: The recipe that the others are compared with: the student alone.
        seeds: Every recipe is run with each of them; the pairs of a seed are compared.
        methods: The other recipes; a path or a name each.
        variants: Further ones by name, with changes of their own.
        teacher: A recipe whose student is the teacher of all methods; trained once, with seed 0,
            and given to them as ``model.teacher.run_dir``. None: their own teachers.
        overrides: ``dotted.key: value`` for the baseline, the methods and the variants.
        teacher_overrides: ``dotted.key: value`` for the teacher.
    """

    baseline: str
    seeds: list[int]
    methods: list[str] = field(default_factory=list)
    variants: dict[str, Variant] = field(default_factory=dict)
    teacher: str | None = None
    overrides: Overrides = field(default_factory=dict)
    teacher_overrides: Overrides = field(default_factory=dict)

    def competitors(self) -> dict[str, Variant]:
        """Everything that is run, by name, the baseline first."""
        plain = {Path(recipe).stem: Variant(recipe) for recipe in (self.baseline, *self.methods)}
        return plain | self.variants


def read_bench(path: Path) -> Bench:
    """Read a bench file.

    Raises:
        RecipeError: If a key is missing, unknown or of the wrong kind.
    """
    tree = read(path)
    check_arguments(str(path), Bench, _without_overrides(str(path), tree))
    variants = {name: Variant(**given) for name, given in tree.pop("variants", {}).items()}
    bench = Bench(**tree, variants=variants)
    competitors = bench.competitors()
    if len(competitors) < 2 or not bench.seeds or len(set(bench.seeds)) != len(bench.seeds):
        raise RecipeError(str(path), "needs at least one method and seed, and no seed twice")
    if len(competitors) != 1 + len(bench.methods) + len(variants):
        raise RecipeError(str(path), "two methods or variants have the same name")
    if bench.teacher is not None and "teacher" in competitors:
        raise RecipeError(str(path), "a method named teacher lies where the bench's teacher does")
    for name, variant in variants.items():
        _check_variant(f"{path}.variants.{short(name)}", name, variant)
        if variant.against is not None and variant.against not in competitors:
            hint = nearest(variant.against[:80], competitors)
            key = f"{path}.variants.{name}.against"
            raise RecipeError(key, f"no method {shown(variant.against)}{hint}")
    return bench


def _check_variant(key: str, name: str, variant: Variant) -> None:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) is None:
        needed = "a variant's name is that of its folder: letters, digits, _ and -, at most 100"
        raise RecipeError(key, needed)
    if variant.against == name:
        raise RecipeError(f"{key}.against", "is the variant itself")


def _without_overrides(key: str, given: object) -> object:
    """The tree but for overrides, whose values are checked in the recipes that they are put in."""
    if not isinstance(given, dict):
        return given
    kept = {}
    for name, value in given.items():
        if name not in ("overrides", "teacher_overrides"):
            kept[name] = _without_overrides(f"{key}.{name}", value)
        elif not isinstance(value, dict):
            raise RecipeError(f"{key}.{name}", f"needs dotted.key: value, got {shown(value)}")
    return kept
