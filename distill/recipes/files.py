"""Recipes as files: find, read, override and copy them."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distill.core.errors import RecipeError
from distill.core.suggest import nearest

Tree = dict[str, Any]

_PACKAGED = Path(__file__).parents[1] / "_recipes"
_CHECKOUT = Path(__file__).parents[2] / "recipes"
DEFAULT_MODEL = "distill.modules.Distillation"


def root() -> Path:
    """The folder of the recipes that come with the toolkit."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def names() -> list[str]:
    """The names of these recipes, ``<dataset>/<method>``."""
    return sorted(str(p.relative_to(root()).with_suffix("")) for p in root().rglob("*.yaml"))


def find(name: str) -> Path:
    """A recipe's file, by its path or its name.

    Raises:
        RecipeError: If there is none, with the nearest name.
    """
    named = name.removeprefix("recipes/").removesuffix(".yaml")
    for path in (Path(name), root() / f"{named}.yaml"):
        if path.is_file():
            return path
    raise RecipeError(name, f"no such recipe{nearest(named, names())}")


def copy(name: str, target: str) -> Path:
    """Copy a recipe to a new file.

    Raises:
        RecipeError: If there is no such recipe, or the file exists.
    """
    path = Path(target)
    if path.exists():
        raise RecipeError(target, "exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(find(name), path))


def read(path: Path) -> Tree:
    """Read a YAML file of plain values: no tags, anchors or duplicate keys.

    Raises:
        RecipeError: If it cannot be read, is no mapping, or holds any of these.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"cannot be read: {error}") from error
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(where, problem) from error
    if not isinstance(tree, dict):
        raise RecipeError(str(path), "needs the keys model, data and trainer")
    return tree


def parse(text: str) -> Tree:
    """Read YAML text that the toolkit wrote."""
    tree: Tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    return tree


def load(path: Path, overrides: Iterable[str] = (), overlays: Iterable[Path] = ()) -> Tree:
    """Read a recipe, lay trainer settings and dotted overrides over it, and resolve ``${...}``.

    One with ``stages`` is resolved stage by stage later, with what each of them changes.

    Args:
        path: The recipe.
        overrides: ``dotted.key=value`` each; ``init_args`` may be left out of the key. What
            stands behind ``stages.NAME.`` is the dotted key that this stage changes.
        overlays: Files that may set ``trainer`` scalars and nothing else.

    Raises:
        RecipeError: Naming the key or file that is wrong.
    """
    tree = read(path)
    if isinstance(tree.get("model"), dict) and "class_path" not in tree["model"]:
        tree["model"] = {"class_path": DEFAULT_MODEL, "init_args": tree["model"]}
    for overlay in overlays:
        _lay_over(tree, overlay)
    for each in overrides:
        override(tree, each)
    tree["trainer"] = tree.get("trainer") or {}
    if tree.get("stages") is None:
        tree.pop("stages", None)
        return resolve(tree)
    return tree


def override(tree: Tree, written: str) -> None:
    """Lay ``dotted.key=value`` over a recipe's tree.

    Raises:
        RecipeError: If it is written otherwise, or its key or value is wrong.
    """
    key, equals, value = written.partition("=")
    if not equals or not key:
        raise RecipeError(written, "an override is written --dotted.key=value")
    put(tree, key, _value(key, value))


def put(tree: Tree, key: str, value: object) -> None:
    """Set the value at a dotted key; ``class_path`` nodes are entered through ``init_args``.

    Raises:
        RecipeError: If the key leads through something that has no keys.

    Example:
        >>> tree = {"loss": "distill.losses.KDLoss"}
        >>> put(tree, "loss.temperature", 2.0)
        >>> tree
        {'loss': {'class_path': 'distill.losses.KDLoss', 'init_args': {'temperature': 2.0}}}
    """
    node: Any = tree
    parts = _parts(tree, key)
    for place, part in enumerate(parts[:-1]):
        node, part = _slot(key, node, part)
        child = node[part] if isinstance(node, list) else node.setdefault(part, {})
        if child is None or (isinstance(child, str) and _is_path(child)):
            child = node[part] = {"class_path": child, "init_args": {}} if child else {}
        if not isinstance(child, (dict, list)):
            raise RecipeError(key, f"{'.'.join(parts[: place + 1])} is {child!r} and has no keys")
        node = child
    node, last = _slot(key, node, parts[-1])
    node[last] = value


def _parts(tree: Tree, key: str) -> list[str]:
    """The steps of a dotted key; what stands behind a stage's name is one, a key of its own."""
    first, *rest = key.split(".", 2)
    if first != "stages" or len(rest) < 2:
        return key.split(".")
    stages = tree.get("stages")
    known = stages if isinstance(stages, Mapping) else {}
    if rest[0] not in known:
        raise RecipeError(key, f"no stage {rest[0]!r}{nearest(rest[0], known)}")
    return [first, *rest]


def _slot(key: str, node: Any, part: str) -> tuple[Any, Any]:  # noqa: ANN401
    """The container that holds a part of a dotted key, and the part as its index there."""
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise RecipeError(key, f"{part!r} is no entry of a list of {len(node)}")
        return node, int(part)
    if "class_path" in node and part not in ("class_path", "init_args"):
        return node.setdefault("init_args", {}), part
    return node, part


def _is_path(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", text) is not None


def _lay_over(tree: Tree, path: Path) -> None:
    overlay = read(path)
    for section, values in overlay.items():
        scalars = isinstance(values, Mapping) and not any(
            isinstance(v, (dict, list)) for v in values.values()
        )
        if section != "trainer" or not scalars:
            key = f"{path}: {section}"
            if isinstance(values, Mapping):
                own = [name for name, v in values.items() if isinstance(v, (dict, list))]
                key += "." + next(iter(own if section == "trainer" else values), "")
            message = "a second file may only set trainer scalars; copy the recipe and edit it"
            raise RecipeError(key, message)
        tree["trainer"] = (tree.get("trainer") or {}) | values


def _value(key: str, text: str) -> object:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise RecipeError(key, f"cannot read the value {text!r}") from error


def resolve(tree: Tree) -> Tree:
    """Replace ``${dotted.key}`` by what stands there.

    Raises:
        RecipeError: If nothing does, or it is more than a dotted key.
    """
    for found in re.findall(r"\$\{[^}]*\}?", json.dumps(tree, default=str)):
        if re.fullmatch(r"\$\{[\w.\-\[\]]+\}", found) is None:
            told = "only ${dotted.key} is replaced; environment values may be secret"
            raise RecipeError(found, told)
    try:
        resolved = cast(Tree, OmegaConf.to_container(OmegaConf.create(tree), resolve=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "recipe"
        raise RecipeError(str(key), str(error).splitlines()[0]) from error
    return resolved


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader without anchors and duplicate keys, that reads 1e-3 as a number."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float)):
                raise yaml.MarkedYAMLError(
                    problem=f"a key must be plain, got {key!r}", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key!r}", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
