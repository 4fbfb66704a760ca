"""What a recipe's values must be, as the annotations of the classes it names say."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser

from distill.core.errors import RecipeError
from distill.core.suggest import nearest

_PLAIN = (int, float, str, bool, type(None))


def check_finite(key: str, value: object) -> None:
    """Refuse infinities and NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(key, f"must be finite, got {value}")


def check_plain(key: str, value: object, annotation: Any) -> None:  # noqa: ANN401
    """Refuse a value that the annotation, made of numbers, texts and containers, does not allow."""
    for kind in (bool, str, type(None)):  # the parser takes true and "1" for 1, null for not given
        if kind not in _flat(annotation) and any(isinstance(v, kind) for v in _leaves(value)):
            raise RecipeError(key, f"needs {_spell(annotation)}, got {value!r}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        parser.parse_object({"value": deepcopy(value)})  # which it converts in place
    except Exception as error:
        hint = nearest(str(value), _literals(annotation))
        raise RecipeError(key, f"needs {_spell(annotation)}, got {value!r}{hint}") from error


def is_plain(annotation: Any) -> bool:  # noqa: ANN401
    """Whether an annotation is made of numbers, texts and their containers alone."""
    return annotation is not object and all(option in _PLAIN for option in _flat(annotation))


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
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def item_type(annotation: Any) -> Any:  # noqa: ANN401
    """The annotation of what a container holds."""
    for option in alternatives(annotation):
        arguments = get_args(option)
        if arguments and not is_callable(option):
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return object


def _literals(annotation: Any) -> list[str]:  # noqa: ANN401
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [value for argument in get_args(annotation) for value in _literals(argument)]


def allows_none(annotation: Any) -> bool:  # noqa: ANN401
    """Whether null is a value of it."""
    return annotation is object or type(None) in alternatives(annotation) or annotation is Any


def is_callable(annotation: Any) -> bool:  # noqa: ANN401
    """Whether it is a function that the object itself calls later."""
    return any(get_origin(option) is Callable for option in alternatives(annotation))


def argument_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a class's or function's arguments, where they can be resolved."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}


def _spell(annotation: Any) -> str:  # noqa: ANN401
    names = {type(None): "null", float: "a number", int: "a whole number", bool: "true or false"}
    names |= {str: "a text"}
    return " or ".join(names.get(o) or _spell_container(o) for o in alternatives(annotation))


def _spell_container(annotation: Any) -> str:  # noqa: ANN401
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(str(value) for value in arguments)
    if not inspect.isclass(origin) or not issubclass(origin, Collection):
        return str(annotation)
    kind = "a mapping" if issubclass(origin, Mapping) else "a list"
    if origin is tuple and Ellipsis not in arguments:
        kind = f"a list of {len(arguments)}"
    return f"{kind}, each {_spell(item_type(annotation))}"
