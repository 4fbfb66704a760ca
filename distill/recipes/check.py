"""Checks a recipe's tree against the classes it names, so that errors carry their dotted key.

The parser that builds the objects checks types too, but its messages are long and lose the way to
the culprit.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import pytorch_lightning as pl

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.core.trust import TRUSTED
from distill.core.walk import Node, Walk
from distill.recipes.settings import check_settings, check_terms, check_workers, named_precision

__all__ = ["LARGEST_SEED", "Node", "blame", "check", "check_arguments", "culprit"]

LARGEST_SEED = 2**32 - 1  # of numpy's generators
_SECTIONS = ("model", "data", "trainer", "seed_everything")
_KINDS = {"model": pl.LightningModule, "data": pl.LightningDataModule}


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
            raise RecipeError(short(str(section)), f"unknown section{_hint(str(section), tree)}")
    walk = Walk((*TRUSTED, *trusted), later=("save_dir",))  # of loggers: the run's directory
    for section, kind in _KINDS.items():
        if not isinstance(tree.get(section), Mapping):
            raise RecipeError(section, "is missing")
        walk.visit(section, tree[section], kind)
    trainer = named_precision(tree.get("trainer") or {})
    walk.arguments("trainer", pl.Trainer, trainer, complete=False)
    check_settings(trainer)
    if "trainer" in tree:  # a network alone is built without terms
        check_terms(tree["model"].get("init_args") or {})
    check_workers(walk.nodes)
    seed = tree.get("seed_everything", 0)
    walk.visit("seed_everything", seed, int)
    if not 0 <= seed <= LARGEST_SEED:
        raise RecipeError("seed_everything", f"must be 0 to {LARGEST_SEED}, got {seed}")
    return walk.nodes


def _hint(section: str, tree: Mapping[str, Any]) -> str:
    """The nearest section, or the keys of the recipe that end in this name."""
    if found := nearest(section[:80], (*_SECTIONS, "stages")):
        return found
    keys = [key for key in _keys(tree) if section and key.endswith((f".{section}", f"_{section}"))]
    return f", did you mean {' or '.join(keys[:3])}?" if keys else ""


def _keys(tree: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in tree.items():
        key = before if name == "init_args" else f"{before}.{name}".lstrip(".")
        yield key
        if isinstance(value, Mapping):
            yield from _keys(value, key)


def check_arguments(key: str, target: Callable[..., Any], given: object) -> None:
    """Check the arguments of one class, such as those read from another kind of file.

    Args:
        key: What to call the whole in a message.
        target: A class or function.
        given: Its arguments by name.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    Walk(TRUSTED).arguments(key, target, given)


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


def culprit(nodes: Sequence[Node], error: BaseException) -> str:
    """The dotted key of the innermost object of the recipe that an error came through.

    Of several of one class it is the key of what holds them; ``trainer`` where none is at work.
    """
    for frame in reversed(list(_frames(error))):
        kind = type(frame.f_locals.get("self"))
        keys = [node.key for node in nodes if node.target is kind]
        if keys:
            return keys[0] if len(keys) == 1 else _common(keys)
    return "trainer" if nodes else "recipe"


def _common(keys: Sequence[str]) -> str:
    split = [key.split(".") for key in keys]
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False))
    return ".".join(parts[0] for parts in same)


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
