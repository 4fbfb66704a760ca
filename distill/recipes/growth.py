"""How large a recipe gets when its ``${...}`` are replaced, told before they are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from distill.core.echo import short
from distill.core.errors import RecipeError

MOST = 100_000
_Place = tuple[Any, ...]


def check_growth(tree: Mapping[str, Any]) -> None:
    """Refuse values that stand for themselves, or for too much.

    Args:
        tree: A recipe whose ``${...}`` hold dotted keys alone.

    Raises:
        RecipeError: Naming the place.

    Example:
        >>> check_growth({"a": "${b}", "b": 3})
    """
    _Growth(tree).size((), tree)


class _Growth:
    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree
        self._sizes: dict[_Place, int] = {}
        self._open: set[_Place] = set()

    def size(self, place: _Place, value: object) -> int:
        """How many values, or characters of texts with ``${...}``, stand at a place in the end."""
        if place in self._sizes:
            return self._sizes[place]
        key = short(".".join(map(str, place)))
        if place in self._open:
            raise RecipeError(key, "stands for itself")
        self._open.add(place)
        total = 1 + sum(self._parts(place, value))
        self._open.discard(place)
        if total > MOST:
            raise RecipeError(key, f"stands for more than {MOST:,} values")
        self._sizes[place] = total
        return total

    def _parts(self, place: _Place, value: object) -> Iterator[int]:
        if isinstance(value, Mapping):
            for name, item in value.items():
                yield self.size((*place, name), item)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield self.size((*place, number), item)
        elif isinstance(value, str) and "${" in value:
            yield len(value) // 100
            for named in re.findall(r"\$\{([^}]*)\}", value):
                target = self._target(place, named)
                found = self._find(target)
                # Texts inside texts grow by their length.
                yield self.size(target, found) + (len(found) if isinstance(found, str) else 0)

    def _target(self, place: _Place, named: str) -> _Place:
        above = len(named) - len(named.lstrip("."))
        start = place[: len(place) - above] if above else ()
        parts = re.findall(r"[^.\[\]]+", named)
        return (*start, *(int(part) if part.isdigit() else part for part in parts))

    def _find(self, place: _Place) -> object:
        node: Any = self._tree
        for part in place:
            if isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            elif isinstance(node, Mapping) and (part in node or str(part) in node):
                node = node[part] if part in node else node[str(part)]
            else:
                return None  # resolving names it
        return node
