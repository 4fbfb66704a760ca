"""YAML as plain data: no anchors, tags or duplicate keys, of bounded size and depth.

Every file of settings is read by this loader: recipes, benches, sweeps, the recipe of a run.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from distill.core.echo import short, shown
from distill.core.errors import RecipeError

DEPTH, SIZE, NODES = 50, 1_000_000, 20_000
"""The deepest nesting, the most characters and the most values of a file."""
_DIGITS = 300


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    """The content of a file.

    Args:
        path: A file in UTF-8.

    Raises:
        RecipeError: Naming the file, and the line where one is wrong.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(SIZE + 1)
    except (OSError, ValueError) as error:  # the second: not UTF-8, or a null byte in the path
        raise RecipeError(str(path), f"cannot be read: {short(str(error), 200)}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Any:  # noqa: ANN401 - what the text holds
    """The content of a text.

    Args:
        text: YAML.
        name: What to call it in a message.

    Raises:
        RecipeError: Naming the line where one is wrong.

    Example:
        >>> parse_yaml("{lr: 1e-3, seeds: [0, 1]}", "here")
        {'lr': 0.001, 'seeds': [0, 1]}
    """
    if len(text) > SIZE:
        raise RecipeError(name, f"is longer than {SIZE:,} characters")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        mark = getattr(error, "problem_mark", None)
        raise RecipeError(
            f"{name}:{mark.line + 1}" if mark else name, short(problem, 200)
        ) from error


class _Loader(yaml.SafeLoader):
    """A SafeLoader of plain data that reads 1e-3 as a number, and dates and 1:30 as texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._nodes += 1
        if getattr(event, "anchor", None):
            raise _error("anchors and aliases are not allowed", event)
        if getattr(event, "tag", None):
            raise _error(f"tags such as {short(event.tag, 40)} are not allowed", event)
        if self._depth == DEPTH:
            raise _error(f"is nested more than {DEPTH} levels deep", event)
        if self._nodes > 2 * NODES:  # a key and its value count apart
            raise _error(f"holds more than {NODES:,} values", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise _error("merge keys (<<) are not allowed", key_node)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float)):
                raise _error(f"a key must be plain, got {shown(key)}", key_node)
            if key in seen:
                raise _error(f"duplicate key {shown(key)}", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """A number, decimal or 0x; ``_`` may part its digits."""
        text = str(node.value).replace("_", "").lower()
        if len(text) > _DIGITS:
            raise _error(f"a number of {len(text):,} digits", node)
        if node.tag.endswith(":float"):
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        return int(text, 16 if "0x" in text else 10)


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 - a node or an event
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)",
    "float": r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
for _first, _known in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _known:
        if _tag.rpartition(":")[2] in ("bool", "null", "merge"):
            _Loader.yaml_implicit_resolvers.setdefault(_first, []).append((_tag, _pattern))
for _kind, _written in _NUMBERS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_written})$"), list("-+0123456789.")
    )
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)
