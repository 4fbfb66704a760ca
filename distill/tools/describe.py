"""What a recipe may write about a class: its options, their types and defaults, what they mean."""

import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from distill.core.annotations import Described, arguments_of, described, spell
from distill.core.class_paths import Target, resolve
from distill.core.echo import short
from distill.core.trust import TRUSTED

_WIDTH = 96


def describe(path: str, trusted: Sequence[str] = ()) -> str:
    """Tell the options of a class or function that a recipe may name; nothing is built.

    Args:
        path: Its class path.
        trusted: Further packages that may be named.

    Raises:
        RecipeError: If a recipe may not name it, or there is no such class.

    Example:
        >>> print(describe("distill.augment.RandomHorizontalFlip").splitlines()[0])
        distill.augment.RandomHorizontalFlip
    """
    target = resolve("help", path, (*TRUSTED, *trusted))
    blocks = [path, _summary(target), _options(target), _inputs(target)]
    return "\n\n".join(block for block in blocks if block)


def _summary(target: Target) -> str:
    """The docstring up to the lists of arguments, errors and examples."""
    lines = (inspect.getdoc(target) or "").splitlines()
    end = next((n for n, line in enumerate(lines) if re.match(r"[A-Z]\w+:$|\.\. ", line)), None)
    return _unquoted("\n".join(lines[:end]).strip())


def _options(target: Target) -> str:
    known, told = arguments_of(target), _told(target)
    known = {name: one for name, one in known.items() if not _is_given(target, name)}
    lines = []
    for name, argument in known.items():
        default = "needed" if argument.needed else f"default {_default(told[name].default)}"
        lines.append(f"  {name}: {_kind(argument.annotation)}; {default}")
        indent = " " * 6
        lines += textwrap.wrap(
            _unquoted(told[name].told), _WIDTH, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(["options:", *lines]) if lines else "It takes no options."


def _is_given(target: Target, name: str) -> bool:
    """Whether it is what an optimizer or a schedule is made for, which no recipe gives."""
    given = {"params": torch.optim.Optimizer, "optimizer": torch.optim.lr_scheduler.LRScheduler}
    return inspect.isclass(target) and name in given and issubclass(target, given[name])


def _default(value: object) -> str:
    """As a recipe has it, where that can be written in YAML."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return short(str(value)) or "an empty text"


def _kind(annotation: Any) -> str:  # noqa: ANN401 - an annotation
    return "a plain value" if annotation is object else spell(annotation)


def _told(target: Target) -> dict[str, Described]:
    """What is said of the options; a loss has them told at the function that it calls."""
    told = described(target)
    named = re.search(r":func:`(\w+)`", inspect.getdoc(target) or "")
    function = named and getattr(sys.modules[target.__module__], named.group(1), None)
    others = described(function) if inspect.isfunction(function) else {}
    return {
        name: one if one.told or name not in others else Described(one.default, others[name].told)
        for name, one in told.items()
    }


def _inputs(target: Target) -> str:
    """The tensors that a module is called with: what a loss has under ``inputs``."""
    if not (inspect.isclass(target) and issubclass(target, nn.Module)):
        return ""
    names = list(inspect.signature(target.forward).parameters)[1:]
    return f"called with: {', '.join(names)}" if names else ""


def _unquoted(text: str) -> str:
    return re.sub(r":\w+:`([^`]+)`", r"\1", text).replace("``", "")
