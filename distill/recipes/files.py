"""Recipes as files: find, read, override and copy them."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distill.core.class_paths import is_path
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.strict_yaml import DEPTH, parse_yaml, read_yaml
from distill.core.suggest import nearest
from distill.recipes.growth import check_growth

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
        with suppress(OSError):  # a name too long for a file
            if path.is_file():
                return path
    kind = "file, and no recipe of this name" if name.endswith(".yaml") else "recipe"
    raise RecipeError(short(name), f"no such {kind}{nearest(named[:80], names())}")


def name_of(path: Path) -> str:
    """What a file is called: its folder and itself, without the ending."""
    return "/".join(part for part in (path.parent.name, path.stem) if part)


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
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise RecipeError(str(path), "needs the keys model, data and trainer")
    return tree


def parse(text: str) -> Tree:
    """Read YAML text that the toolkit wrote."""
    tree: Tree = parse_yaml(text, "recipe")
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
    tree = _with_class(read(path))
    for overlay in overlays:
        _lay_over(tree, overlay)
    for each in overrides:
        override(tree, each)
    return _whole(tree)


def complete(tree: Tree, changes: Mapping[str, object]) -> Tree:
    """What ``load`` makes of a file, made of a tree and the values of dotted keys.

    Args:
        tree: As a file would hold it; it is left as it is.
        changes: Values by dotted key; ``init_args`` may be left out of the keys.

    Raises:
        RecipeError: Naming the key that is wrong.

    Example:
        >>> tree = {"model": {"student": "a.B"}, "trainer": {"max_epochs": 5}}
        >>> complete(tree, {"trainer.max_epochs": 2})["trainer"]
        {'max_epochs': 2}
    """
    tree = _with_class(deepcopy(tree))
    for key, value in changes.items():
        put(tree, key, deepcopy(value))
    return _whole(tree)


def _with_class(tree: Tree) -> Tree:
    if isinstance(tree.get("model"), dict) and "class_path" not in tree["model"]:
        tree["model"] = {"class_path": DEFAULT_MODEL, "init_args": tree["model"]}
    return tree


def _whole(tree: Tree) -> Tree:
    tree["trainer"] = tree.get("trainer") or {}
    _check_sections(tree)
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
        raise RecipeError(short(written), "an override is written --dotted.key=value")
    put(tree, key, _value(key, value))


def _check_sections(tree: Tree) -> None:
    """Whoever looks into a recipe before it is checked finds mappings."""
    for section in ("model", "trainer"):
        if not isinstance(tree.get(section), dict):
            missing = tree.get(section) is None
            told = "is missing" if missing else f"needs keys, got {shown(tree[section])}"
            raise RecipeError(section, told)
    given = tree["model"].get("init_args")
    tree["model"]["init_args"] = {} if given is None else given
    if not isinstance(tree["model"]["init_args"], dict):
        raise RecipeError("model.init_args", f"needs keys, got {shown(given)}")


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
    if len(parts) > DEPTH:
        raise RecipeError(short(key), f"leads more than {DEPTH} levels deep")
    for place, part in enumerate(parts[:-1]):
        node, part = _slot(key, node, part)
        child = node[part] if isinstance(node, list) else node.setdefault(part, {})
        if child is None or (isinstance(child, str) and is_path(child)):
            child = node[part] = {"class_path": child, "init_args": {}} if child else {}
        if not isinstance(child, (dict, list)):
            above = ".".join(parts[: place + 1])
            raise RecipeError(key, f"{above} is {shown(child)} and has no keys")
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
        return parse_yaml(text, key)
    except RecipeError as error:
        told = f"cannot read the value {shown(text)}: {error.message}"
        raise RecipeError(key, told) from error


def resolve(tree: Tree) -> Tree:
    """Replace ``${dotted.key}`` by what stands there.

    Raises:
        RecipeError: If nothing does, or it is more than a dotted key.
    """
    for found in re.findall(r"\$\{[^}]*\}?", json.dumps(tree, default=str)):
        if re.fullmatch(r"\$\{[\w.\-\[\]]+\}", found) is None:
            told = "only ${dotted.key} is replaced; environment values may be secret"
            raise RecipeError(short(found), told)
    check_growth(tree)
    try:
        resolved = cast(Tree, OmegaConf.to_container(OmegaConf.create(tree), resolve=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "recipe"
        raise RecipeError(short(str(key)), short(str(error).splitlines()[0], 200)) from error
    return resolved
