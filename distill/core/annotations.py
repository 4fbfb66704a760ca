"""What a recipe's values must be, as the annotations of the classes it names say."""

import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from datetime import timedelta
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from jsonargparse import ArgumentParser
from jsonargparse._parameter_resolvers import get_signature_parameters
from torch import Tensor

from distill.core.echo import shown
from distill.core.errors import RecipeError
from distill.core.suggest import nearest

LARGEST = 2**63
_PLAIN = (int, float, str, bool, type(None))
_PATHS = (PurePath, os.PathLike)
_NO_OBJECTS = (*_PLAIN, complex, bytes, timedelta, Tensor, Enum, *_PATHS)
"""Types that no class path stands for: their values are written as numbers and texts."""


_STANDARD = ("builtins", "collections", "collections.abc", "typing", "types")


class Argument(typing.NamedTuple):
    """An argument of a class or function that a recipe names."""

    annotation: Any
    needed: bool


class Described(typing.NamedTuple):
    """An argument as it is told to people: its default, and its line of the docstring."""

    default: object
    told: str


def check_finite(key: str, value: object) -> None:
    """Refuse infinities, NaN, and whole numbers of more than 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(key, f"must be finite, got {value}")
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise RecipeError(key, f"must be a number of 64 bits, got {shown(value)}")


def check_plain(key: str, value: object, annotation: Any) -> None:  # noqa: ANN401
    """Refuse a value that the annotation, made of numbers, texts and containers, does not allow."""
    for leaf in _leaves(value):
        check_finite(key, leaf)
    refused = isinstance(value, str) and not takes_text(annotation)
    for kind in (bool, str, type(None)):  # the parser takes true and "1" for 1, null for not given
        alien = kind not in _flat(annotation)
        refused |= alien and any(isinstance(v, kind) for v in _leaves(value))
    if refused:
        raise RecipeError(key, f"needs {spell(annotation)}, got {shown(value)}")
    try:
        _parser_of(annotation).parse_object(
            {"value": deepcopy(value)}
        )  # which it converts in place
    except Exception as error:
        hint = nearest(str(value)[:200], _literals(annotation))
        raise RecipeError(key, f"needs {spell(annotation)}, got {shown(value)}{hint}") from error


@cache
def _parser_of(annotation: Any) -> ArgumentParser:  # noqa: ANN401
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    return parser


def is_plain(annotation: Any) -> bool:  # noqa: ANN401
    """Whether an annotation is made of numbers, texts and their containers alone."""
    return annotation is not object and all(option in _PLAIN for option in _flat(annotation))


def is_untyped(annotation: Any) -> bool:  # noqa: ANN401
    """Whether an annotation says nothing, so that only plain values may stand there."""
    named = (Any, object, inspect.Parameter.empty)
    return any(o in named or isinstance(o, str | TypeVar) for o in alternatives(annotation))


def takes_text(annotation: Any) -> bool:  # noqa: ANN401
    """Whether a text as such is a value of it."""
    for option in alternatives(annotation):
        if option is str or get_origin(option) is Literal or is_untyped(option):
            return True
        if inspect.isclass(option) and issubclass(option, (timedelta, Enum, *_PATHS)):
            return True
    return False


def takes_numbers(annotation: Any) -> bool:  # noqa: ANN401
    """Whether a number as such is a value of it."""
    numbers = (int, float, bool, complex, Tensor)
    found = alternatives(annotation)
    return is_untyped(annotation) or any(o in numbers or get_origin(o) is Literal for o in found)


def takes_tensor(annotation: Any) -> bool:  # noqa: ANN401
    """Whether a tensor is a value of it."""
    return Tensor in alternatives(annotation)


def wanted(annotation: Any) -> tuple[type, ...]:  # noqa: ANN401
    """The types of the objects that a class path may stand for here."""
    found: list[type] = []
    for option in alternatives(annotation):
        if is_callable(option):
            returned = get_args(option)[-1:]
            found += wanted(returned[0]) if returned and not is_untyped(returned[0]) else ()
            continue
        kind = get_origin(option) or option
        if inspect.isclass(kind) and kind.__module__ not in _STANDARD:
            found += () if issubclass(kind, _NO_OBJECTS) else (kind,)
    return tuple(found)


def wanted_classes(annotation: Any) -> tuple[type, ...]:  # noqa: ANN401
    """The classes of which a subclass itself, not an object of it, may be named here."""
    origins = [o for o in alternatives(annotation) if get_origin(o) is type]
    return tuple(k for o in origins for k in get_args(o) if inspect.isclass(k))


def dataclass_of(annotation: Any) -> Callable[..., Any] | None:  # noqa: ANN401
    """The dataclass whose fields may be written here as a mapping."""
    for option in alternatives(annotation):
        if is_dataclass(option):
            return typing.cast(Callable[..., Any], option)
    return None


def mappings(annotation: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401
    """The annotations of the keys and values of the mappings that it allows."""
    found = []
    for option in alternatives(annotation):
        kind = get_origin(option) or option
        if inspect.isclass(kind) and issubclass(kind, Mapping):
            arguments = get_args(option)
            found.append((arguments[0], arguments[1]) if len(arguments) == 2 else (str, object))
    return found


def sequences(annotation: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """The annotations of the items of the lists that it allows: one for all, or one for each."""
    found = []
    for option in alternatives(annotation):
        kind, arguments = get_origin(option) or option, get_args(option)
        listed = kind is typing.Iterable or (inspect.isclass(kind) and _is_listed(kind))
        if is_callable(option) or not listed:
            continue
        if kind is tuple and arguments and Ellipsis not in arguments and len(arguments) > 1:
            found.append(arguments)
        else:
            found.append(arguments[:1] or (object,))
    return found


def _is_listed(kind: type) -> bool:
    if issubclass(kind, list | tuple | set | frozenset):
        return True
    return kind is not object and kind.__module__ in _STANDARD and issubclass(list, kind)


def _flat(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """The types that an annotation is made of, without its containers."""
    if get_origin(annotation) is Literal:
        yield str
    elif get_args(annotation) and not is_callable(annotation):
        for argument in get_args(annotation):
            if argument is not Ellipsis:
                yield from _flat(argument)
    else:
        yield annotation


def _leaves(value: object) -> Iterator[object]:
    """The scalars in lists and dictionaries."""
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) is typing.Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, types.UnionType):
        return (annotation,)
    return tuple(each for member in get_args(annotation) for each in alternatives(member))


def _literals(annotation: Any) -> list[str]:  # noqa: ANN401
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [value for argument in get_args(annotation) for value in _literals(argument)]


def allows_none(annotation: Any) -> bool:  # noqa: ANN401
    """Whether null is a value of it."""
    return is_untyped(annotation) or bool({None, type(None)} & {*alternatives(annotation)})


def is_callable(annotation: Any) -> bool:  # noqa: ANN401
    """Whether it is a function that the object itself calls later."""
    found = alternatives(annotation)
    return any(get_origin(option) is Callable or option is Callable for option in found)


@cache
def arguments_of(target: Callable[..., Any]) -> dict[str, Argument]:
    """The arguments of a class or function by name, as the parser that builds it sees them.

    Those that it hands on to another function as ``**kwargs`` are among them, where that can be
    read from its source; positional ones without a name are not.
    """
    empty = inspect.Parameter.empty
    return {
        part.name: Argument(
            object
            if part.annotation is empty or isinstance(part.annotation, str)
            else part.annotation,
            part.default is empty,
        )
        for part in _named_parts(target)
    }


def described(target: Callable[..., Any]) -> dict[str, Described]:
    """The defaults of the same arguments, and what docstrings say of them."""
    return {part.name: Described(part.default, part.doc or "") for part in _named_parts(target)}


def _named_parts(target: Callable[..., Any]) -> list[Any]:
    parts = get_signature_parameters(target, "__init__" if inspect.isclass(target) else None)
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [part for part in parts if part.kind not in unnamed]


def takes_keywords(target: Callable[..., Any]) -> bool:
    """Whether a class or function also takes arguments that it does not name."""
    try:
        parts = inspect.signature(target).parameters.values()
    except ValueError:  # of a class that is written in C
        return False
    return any(part.kind is inspect.Parameter.VAR_KEYWORD for part in parts)


def spell(annotation: Any) -> str:  # noqa: ANN401
    """An annotation in words."""
    names = {type(None): "null", float: "a number", int: "a whole number", bool: "true or false"}
    names |= {str: "a text"}
    told = [names.get(o) if inspect.isclass(o) else None for o in alternatives(annotation)]
    spelled = zip(told, alternatives(annotation), strict=True)
    return " or ".join(dict.fromkeys(name or _spell_other(option) for name, option in spelled))


def _spell_other(annotation: Any) -> str:  # noqa: ANN401
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(str(value) for value in arguments)
    if is_callable(annotation):
        kinds = " or ".join(kind.__name__ for kind in wanted(annotation))
        return f"the class_path of a class of type {kinds}" if kinds else "nothing of a recipe"
    if is_dataclass(annotation):
        return f"the keys of {getattr(annotation, '__name__', annotation)}"
    if inspect.isclass(annotation) and not issubclass(annotation, _NO_OBJECTS) and not arguments:
        return f"a class_path of type {annotation.__name__}"
    if not inspect.isclass(origin) or not issubclass(origin, Collection):
        return getattr(annotation, "__name__", str(annotation))
    kind = "a mapping" if issubclass(origin, Mapping) else "a list"
    if origin is tuple and Ellipsis not in arguments:
        kind = f"a list of {len(arguments)}"
    item = arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return f"{kind}, each {spell(item)}"
