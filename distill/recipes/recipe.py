"""A recipe as a value: read, changed and asked by dotted keys."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import RecipeError
from distill.recipes.files import Tree, find, load, override, put
from distill.recipes.settings import MEASURED

STAGES = "stages"
PRECISION = "trainer.precision"


@dataclass(frozen=True)
class Recipe:
    """What to train and how. Changing it gives another recipe.

    Keys are written as people write them: ``model.losses.kd.temperature`` leads through
    ``init_args`` without naming them.

    Attributes:
        tree: Its sections as plain values: ``model``, ``data``, ``trainer``, ``seed_everything``
            and, where it trains in stages, ``stages``.

    Example:
        >>> recipe = Recipe({"model": {"class_path": "a.B", "init_args": {"student": "a.net"}}})
        >>> recipe.get("model.student"), recipe.put("model.student", "a.other").get("model.student")
        ('a.net', 'a.other')
    """

    tree: Tree

    @classmethod
    def of(cls, given: "Recipe | Tree | Path | str") -> "Recipe":
        """A recipe itself, its tree, or the file or the shipped recipe of that name."""
        if isinstance(given, Recipe):
            return given
        return cls(load(find(str(given)))) if isinstance(given, (str, Path)) else cls(given)

    @property
    def seed(self) -> int:
        """What weights, order, views and dropout follow from."""
        return int(self.tree.get("seed_everything") or 0)

    @property
    def measures(self) -> bool:
        """Whether its precision is measured before it is trained."""
        return bool(self.get(PRECISION) == MEASURED)

    @property
    def staged(self) -> bool:
        """Whether it trains in stages."""
        return STAGES in self.tree

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - any value of a recipe
        """The value at a dotted key, or the default where there is none."""
        node: Any = self.tree
        for part in key.split("."):
            named = part in ("class_path", "init_args")
            if isinstance(node, Mapping) and "class_path" in node and not named:
                node = node.get("init_args") or {}
            if isinstance(node, list) and part.isdigit() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, Mapping) and part in node:
                node = node[part]
            else:
                return default
        return default if node is None else node

    def put(self, key: str, value: object) -> "Recipe":
        """The recipe with another value at a dotted key.

        Raises:
            RecipeError: If the key leads through something that has no keys.
        """
        tree = deepcopy(self.tree)
        put(tree, key, deepcopy(value))
        return Recipe(tree)

    def with_overrides(self, overrides: Iterable[str]) -> "Recipe":
        """The recipe with ``dotted.key=value`` each laid over it.

        Raises:
            RecipeError: Naming the one that is wrong.
        """
        tree = deepcopy(self.tree)
        for each in overrides:
            override(tree, each)
        return Recipe(tree)

    @property
    def loggers(self) -> list[Tree]:
        """The loggers that it names, with their arguments."""
        return self._listed("trainer.logger")

    def with_loggers(self, loggers: list[Tree]) -> "Recipe":
        """The recipe with other loggers."""
        return self.put("trainer.logger", loggers) if loggers or self.loggers else self

    @property
    def callbacks(self) -> list[Tree]:
        """The callbacks that it names, with their arguments."""
        return self._listed("trainer.callbacks")

    def with_callback(self, class_path: str, **arguments: object) -> "Recipe":
        """The recipe with one callback more."""
        added = {"class_path": class_path, "init_args": arguments}
        return self.put("trainer.callbacks", [*self.callbacks, added])

    def _listed(self, key: str) -> list[Tree]:
        """One class path, one object, a list of them or nothing as a list of objects."""
        given = self.get(key)
        if given is None or isinstance(given, bool):
            return []
        specs = given if isinstance(given, list) else [given]
        specs = [{"class_path": spec} if isinstance(spec, str) else spec for spec in specs]
        if not all(isinstance(spec, dict) for spec in specs):
            raise RecipeError(key, f"expected class paths with arguments, got {given!r}")
        return [{**spec, "init_args": spec.get("init_args") or {}} for spec in specs]
