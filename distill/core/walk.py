"""Checks a tree of class paths and arguments against the classes that it names.

The walk goes along the annotations, with the dotted key of every place. What passes holds class
paths only where the annotation says so, of that type; every other value is a plain one.
"""

import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from distill.core.annotations import (
    allows_none,
    arguments_of,
    check_finite,
    check_plain,
    dataclass_of,
    is_callable,
    is_plain,
    is_untyped,
    mappings,
    sequences,
    spell,
    takes_keywords,
    takes_numbers,
    takes_tensor,
    takes_text,
    wanted,
    wanted_classes,
)
from distill.core.class_paths import fits, is_path, resolve
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.refused import ARGUMENTS
from distill.core.suggest import nearest

DEPTH = 60
_BASES = ("Callback", "LRScheduler", "LightningDataModule", "LightningModule", "Logger", "Metric")
_ABSTRACT = ("Module", "Optimizer", *_BASES)
"""Names of classes that are there to be inherited from and do nothing themselves."""
_LISTS = "; a recipe holds no tensors: distill.losses.CrossEntropyLoss takes a list"


class Node(typing.NamedTuple):
    """A place in the tree where an object is built."""

    key: str
    target: Callable[..., Any]
    arguments: Mapping[str, Any]


class Walk:
    """Checks values against annotations.

    Args:
        trusted: The packages whose classes and functions may be named.
        later: Names of arguments that whoever builds the objects fills in where they are left out.

    Attributes:
        nodes: Every object that is built, innermost last.
    """

    def __init__(self, trusted: Sequence[str], later: Collection[str] = ()) -> None:
        self._trusted, self._later = trusted, later
        self._depth = 0
        self.nodes: list[Node] = []

    def visit(self, key: str, value: object, annotation: Any) -> None:  # noqa: ANN401
        """Check one value against its annotation.

        Raises:
            RecipeError: For the first thing that is wrong.
        """
        if self._depth > DEPTH:
            raise RecipeError(short(key), f"is nested more than {DEPTH} levels deep")
        self._depth += 1
        check_finite(key, value)
        if is_plain(annotation):
            check_plain(key, value, annotation)
        elif is_untyped(annotation):
            _check_untyped(key, value)
        else:
            self._typed(key, value, annotation)
        self._depth -= 1

    def _typed(self, key: str, value: object, annotation: Any) -> None:  # noqa: ANN401
        if isinstance(value, str):
            self._text(key, value, annotation)
        elif isinstance(value, Mapping):
            self._mapping(key, value, annotation)
        elif isinstance(value, list | tuple):
            self._sequence(key, value, annotation)
        elif value is None:
            if not allows_none(annotation):
                raise RecipeError(key, "must not be null")
        elif not takes_numbers(annotation):
            raise RecipeError(key, f"needs {spell(annotation)}, got {shown(value)}")

    def arguments(
        self, key: str, target: Callable[..., Any], given: object, complete: bool = True
    ) -> None:
        """Check the arguments of a class or function.

        Args:
            key: The dotted key of the object.
            target: Its class, or the function that makes it.
            given: Its arguments by name.
            complete: Whether all that it needs must be among them.

        Raises:
            RecipeError: For the first thing that is wrong.
        """
        if not isinstance(given, Mapping):
            raise RecipeError(key, f"needs keys and values, got {shown(given)}")
        self.nodes.append(Node(key, target, given))
        known, name_of = arguments_of(target), getattr(target, "__name__", str(target))
        refused = ARGUMENTS.get(target.__module__.split(".")[0], ())
        for name, value in given.items():
            place = f"{key}.{short(str(name))}"
            if name not in known:
                told = f"{name_of} has no argument {shown(str(name))}"
                raise RecipeError(place, told + _instead(target, str(name)[:80], known))
            if name in refused and value is not None:
                raise RecipeError(place, "may not be given in a recipe")
            self.visit(place, value, known[name].annotation)
        for name, argument in known.items():
            if complete and argument.needed and name not in (*given, *self._later):
                raise RecipeError(f"{key}.{name}", f"{name_of} needs it")

    def _text(self, key: str, value: str, annotation: Any) -> None:  # noqa: ANN401
        classes, kinds = wanted_classes(annotation), wanted(annotation)
        if is_path(value) and (classes or kinds):
            self._object(key, key, value, {}, annotation)
        elif not takes_text(annotation):
            raise RecipeError(key, f"needs {spell(annotation)}, got {shown(value)}")
        elif (classes or kinds or is_callable(annotation)) and not _is_word(value):
            raise RecipeError(key, f"needs a word or {spell(annotation)}, got {shown(value)}")

    def _object(
        self, key: str, told_at: str, path: object, given: object, annotation: object
    ) -> None:
        """Check a class path with its arguments."""
        target = resolve(told_at, path, self._trusted)
        classes = wanted_classes(annotation)
        if classes and inspect.isclass(target) and issubclass(target, classes) and not given:
            return
        _check_kind(told_at, path, target, annotation)
        # A callable is given its first argument later: an optimizer its parameters.
        self.arguments(key, target, given, complete=not is_callable(annotation))

    def _mapping(self, key: str, value: Mapping[Any, Any], annotation: Any) -> None:  # noqa: ANN401
        if "class_path" in value:
            _check_parts(key, value)
            given = value.get("init_args")
            path = value["class_path"]
            self._object(key, f"{key}.class_path", path, {} if given is None else given, annotation)
            return
        fields = dataclass_of(annotation)
        if fields is not None:
            self.arguments(key, fields, value)
            return
        options = mappings(annotation)
        if not options:
            raise RecipeError(key, f"needs {spell(annotation)}, got {shown(value)}")
        self._first_that_passes([partial(self._items, key, value, option) for option in options])

    def _items(self, key: str, value: Mapping[Any, Any], option: tuple[Any, Any]) -> None:
        names, items = option
        for name, item in value.items():
            place = f"{key}.{short(str(name))}"
            _check_one_of(place, name, names)
            if wanted(items) or mappings(items):
                _check_name(place, name)
            self.visit(place, item, items)

    def _sequence(self, key: str, value: Sequence[object], annotation: Any) -> None:  # noqa: ANN401
        options = sequences(annotation)
        if not options:
            told = f"needs {spell(annotation)}, got {shown(value)}"
            raise RecipeError(key, told + (_LISTS if takes_tensor(annotation) else ""))
        self._first_that_passes([partial(self._entries, key, value, option) for option in options])

    def _entries(self, key: str, value: Sequence[object], option: tuple[Any, ...]) -> None:
        if len(option) > 1 and len(option) != len(value):
            raise RecipeError(key, f"needs a list of {len(option)}, got {shown(value)}")
        for place, item in enumerate(value):
            self.visit(f"{key}.{place}", item, option[place] if len(option) > 1 else option[0])

    def _first_that_passes(self, checks: Sequence[Callable[[], None]]) -> None:
        nodes, depth = len(self.nodes), self._depth
        for left, check in enumerate(checks, start=1 - len(checks)):
            try:
                check()
            except RecipeError:
                if left == 0:
                    raise
                del self.nodes[nodes:]
                self._depth = depth
            else:
                return


def _instead(target: Callable[..., Any], name: str, known: Collection[str]) -> str:
    """What to write for an argument that a class or function does not name."""
    if not takes_keywords(target):
        return nearest(name, known)
    of_timm = target.__module__.split(".")[0] == "timm"
    named = "students.timm_model or teachers.timm_model" if of_timm else "one that lists it"
    return f", only **kwargs, which cannot be checked: name {named}"


def _check_one_of(key: str, name: object, names: Any) -> None:  # noqa: ANN401
    """Check the key of a mapping whose keys are listed."""
    if get_origin(names) is Literal and name not in get_args(names):
        known = [str(each) for each in get_args(names)]
        needed = f"needs {' or '.join(known)}" + nearest(str(name)[:80], known)
        raise RecipeError(key, needed)


def _check_parts(key: str, spec: Mapping[Any, Any]) -> None:
    """Check that beside a class path there are only its arguments."""
    for part in spec:
        if part not in ("class_path", "init_args"):
            put = f"put {shown(part)} under {key}.init_args"
            raise RecipeError(f"{key}.{short(str(part))}", put)


def _check_kind(key: str, path: object, target: Callable[..., Any], annotation: Any) -> None:  # noqa: ANN401
    """Check that a class, or what a function returns, is of the type of its place."""
    classes, kinds = wanted_classes(annotation), wanted(annotation)
    if not kinds or not fits(target, kinds):
        needed = " or ".join(kind.__name__ for kind in (*kinds, *classes)) or "no class"
        told = f"{path} is neither a class of type {needed} nor a function annotated to return"
        raise RecipeError(key, f"{told} one" if needed != "no class" else "takes no class")
    if inspect.isabstract(target) or (target in kinds and target.__name__ in _ABSTRACT):
        raise RecipeError(key, f"{path} is a base class: name one of its kinds")


def _check_untyped(key: str, value: object, depth: int = 0) -> None:
    """Where no annotation says more, values are plain: numbers, texts, and lists of them."""
    check_finite(key, value)
    if depth > DEPTH:
        raise RecipeError(short(key), f"is nested more than {DEPTH} levels deep")
    named = isinstance(value, str) and ("class_path" in value or value.lstrip()[:1] in ("{", "["))
    if named or (isinstance(value, Mapping) and {"class_path", "init_args"} & {*value}):
        told = "takes plain values only: no annotation says which class may stand here"
        raise RecipeError(key, f"{told}, got {shown(value)}")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_untyped(f"{key}.{short(str(name))}", item, depth + 1)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _check_untyped(f"{key}.{place}", item, depth + 1)
    elif not isinstance(value, str | int | float | None):
        raise RecipeError(key, f"takes plain values only, got {shown(value)}")


def _check_name(key: str, name: object) -> None:
    """Names of terms, peers and the like become names of parts of a network."""
    from torch import nn

    if "." in str(name):
        raise RecipeError(key, "a name must not hold a dot")
    if not isinstance(name, str) or re.fullmatch(r"[^\W\d][\w -]*", name) is None:
        raise RecipeError(key, f"a name begins with a letter, got {shown(name)}")
    if hasattr(nn.ModuleDict, name) or name in vars(nn.Module()):
        raise RecipeError(key, f"{name!r} is taken: torch's modules have it, choose another name")


def _is_word(text: str) -> bool:
    """Whether a text is a plain word rather than a document or the name of a file."""
    if re.fullmatch(r"[\w.,:+ -]*", text) is None:
        return False
    return not Path(text).is_file()
