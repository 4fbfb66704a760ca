"""COCO's run-length codes of masks."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def runs_of(code: Mapping[str, object], size: tuple[int, int]) -> tuple[int, ...]:
    """Read a run-length code, compressed to a text or a list of counts.

    Args:
        code: Its ``size``, height and width, and its ``counts``.
        size: Width and height of the image.

    Returns:
        Numbers of pixels, down the columns: not covered, covered, not covered, ...

    Raises:
        ValueError: If it does not cover the image exactly.

    Example:
        >>> runs_of({"size": [2, 2], "counts": "121"}, (2, 2))
        (1, 2, 1)
    """
    width, height = size
    if code.get("size") != [height, width]:
        raise ValueError(f"its size is {code.get('size')}, the image's {[height, width]}")
    counts = code.get("counts")
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    usual = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not isinstance(runs, list) or not usual or sum(runs) != width * height:
        raise ValueError(f"its runs do not add up to {width} x {height} pixels")
    return tuple(runs)


def covered(runs: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether a pixel is covered (h, w), of an image of a width and a height.

    Example:
        >>> covered((1, 2, 1), (2, 2)).tolist()
        [[False, True], [True, False]]
    """
    width, height = size
    is_covered = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_covered, runs).reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """Take 5 bits of each character, the lowest first; from the fourth run on they are changes."""
    runs: list[int] = []
    value = bits = 0
    for character in text:
        part = ord(character) - 48
        value |= (part & 31) << bits
        bits += 5
        if part & 32:
            continue
        if part & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = bits = 0
    return runs
