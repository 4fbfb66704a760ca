"""From a class path in a recipe to the class or function that it names, or a refusal.

What may be named is defined in an allowed package, is not among what :mod:`distill.core.refused`
lists, and gives an object of the type that its place is annotated with.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import re
import types
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin

from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.refused import is_private, is_refused
from distill.core.suggest import nearest

Target = Callable[..., Any]
_HOMES = {"pytorch_lightning": "lightning_fabric"}
"""Where else a package's own classes are defined."""


def is_path(text: str) -> bool:
    """Whether a text has the form of a class path.

    Example:
        >>> is_path("torch.nn.ReLU"), is_path("16-mixed"), is_path("runs/v1.yaml")
        (True, False, False)
    """
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", text) is not None


def resolve(key: str, path: object, trusted: Sequence[str]) -> Target:
    """The class or function at a dotted path.

    Args:
        key: The dotted key of its place, for a message.
        path: What stands there.
        trusted: The packages whose classes and functions may be named.

    Raises:
        RecipeError: If it is no class or function that is defined in one of them.
    """
    if not isinstance(path, str) or not is_path(path):
        raise RecipeError(key, f"needs a dotted path such as torch.nn.ReLU, got {shown(path)}")
    package = path.split(".")[0]
    if package not in trusted:
        hint, known = nearest(package, trusted), ", ".join(trusted)
        told = f"{short(path)} is outside the trusted packages ({known}){hint or '; see --trust'}"
        raise RecipeError(key, told)
    if is_refused(path) or is_private(path):
        raise RecipeError(key, f"{short(path)} may not be named in a recipe")
    target = _checked(key, path, _found(key, path, trusted))
    _check_home(key, path, target, trusted)
    return target


def gives(target: Target) -> tuple[type, ...]:
    """The types of what a call of a class or function returns; none if its annotation is unclear.

    Example:
        >>> gives(dict), gives(lambda: {})
        ((<class 'dict'>,), ())
    """
    if inspect.isclass(target):
        return (target,)
    try:
        signature = inspect.signature(target, eval_str=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        signature = inspect.signature(target)  # some are for type checkers alone
    returned = signature.return_annotation
    union = get_origin(returned) in (Union, types.UnionType)
    kinds = get_args(returned) if union else (returned,)
    unclear = (inspect.Signature.empty, Any)
    return kinds if all(inspect.isclass(k) and k not in unclear for k in kinds) else ()


def fits(target: Target, wanted: Sequence[type]) -> bool:
    """Whether everything that a call of ``target`` may return is of one of the wanted types.

    Example:
        >>> from collections import OrderedDict
        >>> fits(OrderedDict, [dict]), fits(dict, [OrderedDict])
        (True, False)
    """
    found = gives(target)
    try:
        return bool(found) and all(issubclass(kind, tuple(wanted)) for kind in found)
    except TypeError:  # a protocol whose members cannot be told from a class
        return False


def _found(key: str, path: str, trusted: Sequence[str]) -> object:
    """What stands at a path of modules of allowed packages, the last part aside."""
    parts = path.split(".")
    found = _imported(key, parts[0])
    for place, part in enumerate(parts[1:], start=1):
        here = ".".join(parts[:place])
        if not inspect.ismodule(found):
            raise RecipeError(key, f"{here} is no module, so nothing of it may be named")
        _check_module(key, path, found, trusted)
        if not hasattr(found, part):
            module = f"{found.__name__}.{part}"
            if importlib.util.find_spec(found.__name__) is None or not _is_there(module):
                names = getattr(found, "__all__", None) or dir(found)
                hint = nearest(part, names) or nearest(part, _modules_of(found))
                raise RecipeError(key, f"no {part!r} in {here}{hint}")
            _imported(key, module)
        found = getattr(found, part)
    return found


def _modules_of(package: types.ModuleType) -> list[str]:
    """The names of the modules of a package."""
    return [found.name for found in pkgutil.iter_modules(getattr(package, "__path__", []))]


def _imported(key: str, module: str) -> types.ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the code of somebody's module may raise
        told = short(str(error), 200)
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise RecipeError(key, f"{module} cannot be imported: {kind}{told}") from error


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _check_module(key: str, path: str, module: types.ModuleType, trusted: Sequence[str]) -> None:
    name = module.__name__
    if not _is_home(name, trusted) or is_refused(name) or is_private(name):
        raise RecipeError(key, f"{short(path)} leads through {name}, which may not be named")


def _checked(key: str, path: str, target: object) -> Target:
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        raise RecipeError(key, f"{path} is neither a class nor a function")
    if "." in target.__qualname__:
        raise RecipeError(key, f"{path} is a method, or made inside a function or class")
    return target


def _check_home(key: str, path: str, target: Target, trusted: Sequence[str]) -> None:
    home = f"{target.__module__}.{target.__name__}"
    if not _is_home(home, trusted):
        raise RecipeError(key, f"{path} is defined in {target.__module__}, no trusted package")
    hidden = home.startswith("torch._")
    if is_refused(home) or hidden or is_private(target.__name__):
        raise RecipeError(key, f"{path} may not be named in a recipe: it is {home}")


def _is_home(name: str, trusted: Sequence[str]) -> bool:
    homes = (*trusted, *(_HOMES[package] for package in trusted if package in _HOMES))
    return name.split(".")[0] in homes
