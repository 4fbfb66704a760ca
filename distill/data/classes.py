"""Class numbers: from names to targets, and from one order of classes to another."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from distill.core.suggest import difference
from distill.data.naming import class_name

UNLABELLED = -100
"""The class number of an image without a label: ``torch.nn.CrossEntropyLoss`` leaves it out, and
losses that need a class number refuse it."""


def classes_and_targets(
    labels: Sequence[str], where: Path | str, classes: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Tensor]:
    """Number the classes of images: the classes, and the class number of each image (n,), int64.

    Args:
        labels: The name of each image's class.
        where: Names the source in messages.
        classes: All classes in their order; None: those of ``labels``, in the order of names.

    Raises:
        ValueError: If there are no images.
    """
    if not labels:
        raise ValueError(f"no class folders with images in {where}")
    names = tuple(classes or sorted(set(labels)))
    number = {name: i for i, name in enumerate(names)}
    return names, torch.tensor([number[label] for label in labels])


def without_labels(n: int, where: Path | str) -> tuple[tuple[str, ...], Tensor]:
    """Make targets without labels: no classes, and ``UNLABELLED`` for each image (n,), int64.

    Raises:
        ValueError: If there are no images.
    """
    if n == 0:
        raise ValueError(f"no images in {where}")
    return (), torch.full((n,), UNLABELLED)


def label_text(value: object, where: str) -> str:
    """Read the name of a class from a field of a table or a file.

    Args:
        value: Of the field.
        where: Names the place in messages.

    Raises:
        ValueError: If the field names no class, or several.

    Example:
        >>> label_text(3.0, "row 0"), label_text(" ant ", "row 1")
        ('3', 'ant')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value.strip() if isinstance(value, str) else str(value)
    if value is None or value != value or not text:  # NaN is not itself
        raise ValueError(f"{where} has no label: leave such images out, or give them unlabelled")
    if not isinstance(value, str | int):
        raise ValueError(f"{where} needs one class for its label, it has {_short(value)}")
    if text.startswith("-") and text[1:].isdecimal():
        raise ValueError(f"{where} has the label {text}, as hidden ones do: leave such images out")
    return class_name(text)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text[:40]}{'...' * (len(text) > 40)}"


def by_number(labels: Sequence[str]) -> list[str]:
    """List the different labels of a column, as numbers in order if all are whole numbers.

    Example:
        >>> by_number(["10", "9", "10"]), by_number(["b", "a", "10"])
        (['9', '10'], ['10', 'a', 'b'])
    """
    different = sorted(set(labels))
    numbers = all(label.isdecimal() for label in different)
    return sorted(different, key=int) if numbers else different


def renumbered(targets: Tensor, classes: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Convert class numbers (n,) to another order of classes; ``UNLABELLED`` stays.

    Raises:
        ValueError: If the classes are not the same ones.

    Example:
        >>> renumbered(torch.tensor([1, 0, -100]), ["10", "2"], ["2", "10"]).tolist()
        [0, 1, -100]
    """
    if message := difference(classes, wanted, in_order=False):
        raise ValueError(message)
    if tuple(classes) == tuple(wanted):
        return targets
    number = {name: i for i, name in enumerate(wanted)}
    there = torch.tensor([number[name] for name in classes])
    return torch.where(targets < 0, targets, there[targets.clamp(min=0)])
