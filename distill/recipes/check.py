"""Checks a recipe's tree against the classes it names, so that errors carry their dotted key.

The parser that builds the objects checks types too, but its messages are long and lose the way to
the culprit. This walk goes along the annotations, and refuses every class outside the trusted
packages before it is imported.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import pytorch_lightning as pl

from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.core.trust import TRUSTED
from distill.recipes.annotations import (
    allows_none,
    alternatives,
    argument_types,
    check_finite,
    check_plain,
    is_callable,
    is_plain,
    item_type,
)

LARGEST_SEED = 2**32 - 1  # of numpy's generators
_SECTIONS = ("model", "data", "trainer", "seed_everything")


class Node(typing.NamedTuple):
    """A place in the recipe where an object is built."""

    key: str
    target: Callable[..., Any]
    arguments: Mapping[str, Any]


def check(tree: Mapping[str, Any], trusted: Sequence[str] = ()) -> list[Node]:
    """Check a whole recipe.

    Args:
        tree: What ``recipes.load`` returned.
        trusted: Further packages whose classes the recipe may name.

    Returns:
        Every object that the recipe builds, innermost last.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    for section in tree:
        if section == "stages":
            told = "only fit, bench and sweep train in stages; --stages=null leaves them out"
            raise RecipeError(section, told)
        if section not in _SECTIONS:
            hint = nearest(str(section), (*_SECTIONS, "stages"))
            raise RecipeError(str(section), f"unknown section{hint}")
    walk = _Walk((*TRUSTED, *trusted))
    for section in ("model", "data"):
        if not isinstance(tree.get(section), Mapping):
            raise RecipeError(section, "is missing")
        walk.visit(section, tree[section], object)
    trainer = tree.get("trainer") or {}
    walk.arguments("trainer", pl.Trainer, trainer, complete=False)
    seed = tree.get("seed_everything", 0)
    walk.visit("seed_everything", seed, int)
    if not 0 <= seed <= LARGEST_SEED:
        raise RecipeError("seed_everything", f"must be 0 to {LARGEST_SEED}, got {seed}")
    return walk.nodes


def check_arguments(key: str, target: Callable[..., Any], given: object) -> None:
    """Check the arguments of one class, such as those read from another kind of file.

    Args:
        key: What to call the whole in a message.
        target: A class or function.
        given: Its arguments by name.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    _Walk(TRUSTED).arguments(key, target, given)


def blame(nodes: Sequence[Node], error: BaseException) -> str:
    """The dotted key whose constructor raised an error, or ``recipe``.

    A message that starts with the name of an argument adds that name.
    """
    codes = [frame.f_code for frame in _frames(error)]
    raisers = [node for node in nodes if any(code in _codes(node.target) for code in codes)]
    message = str(error)
    argument = message.split(" ", 1)[0]
    for node in reversed(raisers):
        if argument in node.arguments and str(node.arguments[argument]) in message:
            return f"{node.key}.{argument}"
    return raisers[-1].key if raisers else "recipe"


class _Walk:
    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = trusted
        self.nodes: list[Node] = []

    def visit(self, key: str, value: object, annotation: Any) -> None:  # noqa: ANN401
        """Check one value against its annotation."""
        check_finite(key, value)
        if is_plain(annotation):
            check_plain(key, value, annotation)
            if isinstance(value, list):
                self._sequence(key, value, annotation)
        elif isinstance(value, Mapping) and "class_path" in value:
            self._spec(key, value, annotation)
        elif isinstance(value, str):
            self._text(key, value, annotation)
        elif isinstance(value, Mapping):
            self._mapping(key, value, annotation)
        elif isinstance(value, Sequence):
            self._sequence(key, value, annotation)
        elif value is None and not allows_none(annotation):
            raise RecipeError(key, "must not be null")

    def arguments(
        self, key: str, target: Callable[..., Any], given: object, complete: bool = True
    ) -> None:
        """Check the arguments of a class or function."""
        if not isinstance(given, Mapping):
            raise RecipeError(key, f"needs keys and values, got {given!r}")
        self.nodes.append(Node(key, target, given))
        parameters = dict(inspect.signature(target).parameters)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        hints = argument_types(target)
        for name, value in given.items():
            if name not in parameters and not open_ended:
                known = f"{_name(target)} has no argument {str(name)!r}"
                raise RecipeError(f"{key}.{name}", known + nearest(str(name), parameters))
            self.visit(f"{key}.{name}", value, hints.get(name, object))
        for name, parameter in parameters.items():
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if complete and named and parameter.default is parameter.empty and name not in given:
                raise RecipeError(f"{key}.{name}", f"{_name(target)} needs it")

    def _spec(self, key: str, spec: Mapping[str, Any], annotation: Any) -> None:  # noqa: ANN401
        for part in spec:
            if part not in ("class_path", "init_args"):
                raise RecipeError(f"{key}.{part}", f"put {part!r} under {key}.init_args")
        target = self._resolve(f"{key}.class_path", spec["class_path"])
        # A callable is given its first argument later: an optimizer its parameters.
        complete = not is_callable(annotation)
        self.arguments(key, target, spec.get("init_args") or {}, complete)

    def _text(self, key: str, value: str, annotation: Any) -> None:  # noqa: ANN401
        if "." in value and "/" not in value and annotation is not object:
            target = self._resolve(key, value)
            self.arguments(key, target, {}, complete=not is_callable(annotation))

    def _mapping(self, key: str, value: Mapping[str, Any], annotation: Any) -> None:  # noqa: ANN401
        for option in alternatives(annotation):
            if is_dataclass(option):
                self.arguments(key, typing.cast(Callable[..., Any], option), value)
                return
        for name, item in value.items():
            if "." in str(name):
                raise RecipeError(f"{key}.{name}", "a name must not hold a dot")
            self.visit(f"{key}.{name}", item, item_type(annotation))

    def _sequence(self, key: str, value: Sequence[object], annotation: Any) -> None:  # noqa: ANN401
        for place, item in enumerate(value):
            self.visit(f"{key}.{place}", item, item_type(annotation))

    def _resolve(self, key: str, path: object) -> Callable[..., Any]:
        if not isinstance(path, str) or "." not in path:
            raise RecipeError(key, f"needs a dotted path such as torch.nn.ReLU, got {path!r}")
        package = path.split(".")[0]
        if package not in self._trusted:
            hint = nearest(package, self._trusted)
            known = ", ".join(self._trusted)
            raise RecipeError(
                key, f"{path} is outside the trusted packages ({known}){hint or '; see --trust'}"
            )
        target = _import(key, path)
        if not (inspect.isclass(target) or inspect.isfunction(target)):
            raise RecipeError(key, f"{path} is neither a class nor a function")
        if inspect.isfunction(target) and "." in target.__qualname__:
            raise RecipeError(key, f"{path} is a method")
        return target


def _import(key: str, path: str) -> Any:  # noqa: ANN401
    parts = path.split(".")
    found: Any = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], start=1):
        here = ".".join(parts[:place])
        if not hasattr(found, part) and inspect.ismodule(found):
            try:
                importlib.import_module(f"{here}.{part}")
            except ModuleNotFoundError as error:
                known = getattr(found, "__all__", None) or dir(found)
                raise RecipeError(key, f"no {part!r} in {here}{nearest(part, known)}") from error
        if not hasattr(found, part):
            raise RecipeError(key, f"no {part!r} in {here}")
        found = getattr(found, part)
    return found


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", str(target))


def _codes(target: Callable[..., Any]) -> list[Any]:
    if not inspect.isclass(target):
        return [target.__code__]
    methods = [getattr(target, name, None) for name in ("__init__", "__post_init__", "__new__")]
    return [code for method in methods if (code := getattr(method, "__code__", None))]


def _frames(error: BaseException) -> Iterator[types.FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next
