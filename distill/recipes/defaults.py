"""Which defaults of the classes that a recipe names are written into ``config.yaml``."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

_WRITABLE = (bool, int, float, str, type(None), Path, Enum, timedelta, torch.device, torch.dtype)


def leave_out_objects(parsed: Namespace, given: Mapping[str, Any]) -> None:
    """Take out defaults that no recipe can hold: classes, functions, objects.

    A network of timm or torchvision may take the class of its norm or of its blocks. Whoever reads
    ``config.yaml`` then builds the network with the same defaults again.

    Args:
        parsed: What the parser made of a recipe, changed in place.
        given: The recipe: what stands there stays.
    """
    for name, value in list(vars(parsed).items()):
        stands = given.get(name) if isinstance(given, Mapping) else None
        if stands is None and not _is_writable(value):
            delattr(parsed, name)
        else:
            _visit(value, stands)


def _visit(value: object, given: Any) -> None:  # noqa: ANN401 - any value of a recipe
    if isinstance(value, Namespace):
        # A class path may stand alone.
        leave_out_objects(value, given if isinstance(given, Mapping) else {})
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _visit(item, given.get(name) if isinstance(given, Mapping) else None)
    elif isinstance(value, list | tuple):
        several = given if isinstance(given, list) and len(given) == len(value) else []
        for place, item in enumerate(value):
            _visit(item, several[place] if several else None)


def _is_writable(value: object) -> bool:
    if isinstance(value, Namespace):
        return True  # its own values are looked at
    if isinstance(value, Mapping):
        return all(_is_writable(item) for item in value.values())
    if isinstance(value, list | tuple | set):
        return all(_is_writable(item) for item in value)
    return isinstance(value, _WRITABLE)
