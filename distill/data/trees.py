"""Images of a folder or an archive, with their classes, and a warning of files left out."""

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from distill.data.classes import classes_and_targets, without_labels
from distill.data.folders import class_of_each, without_images
from distill.data.naming import (
    IMAGE_ENDINGS,
    begins_an_image,
    ending,
    is_hidden,
    is_left_by_a_system,
    lies_beside,
    shown,
)

HEAD = 16
"""Number of bytes by which a file is recognized as an image."""


@dataclass
class Tree:
    """Files and folders in a folder or an archive, by names with ``/`` between folders.

    Attributes:
        where: Names it in messages.
        top: Stands before a file's name in messages.
        head: Reads the first ``HEAD`` bytes of a file.
        files: Names of files.
        folders: Names of folders.
        left_out: Counts of other things that were left out, by kind.
    """

    where: str
    top: str
    head: Callable[[str], bytes]
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def images(self) -> list[str]:
        """List the images: by their endings, and by content where they have none."""
        return [name for name in self.files if _is_visible(name) and self._is_image(name)]

    def labelled(self, images: list[str]) -> tuple[list[str], tuple[str, ...], Tensor]:
        """List the images in class folders, the classes, and the class number of each image.

        Warns:
            UserWarning: In one line, if anything was left out.

        Raises:
            ValueError: If there are no class folders with images.
        """
        labels = class_of_each(images, self.top)
        left_out = self._left_out_text(
            without_images(images, filter(_is_visible_folder, self.folders))
        )
        inside = [name for name, label in zip(images, labels, strict=True) if label]
        classes, targets = classes_and_targets(list(filter(None, labels)), self.where)
        self._warn(left_out)
        return inside, classes, targets

    def unlabelled(self, images: list[str]) -> tuple[list[str], tuple[str, ...], Tensor]:
        """List the images, without classes and class numbers.

        Warns:
            UserWarning: In one line, if anything was left out.

        Raises:
            ValueError: If there are no images.
        """
        classes, targets = without_labels(len(images), self.where)
        self.warn_left_out()
        return images, classes, targets

    def warn_left_out(self) -> None:
        """Warn in one line if anything was left out beside the images."""
        self._warn(self._left_out_text([]))

    def _is_image(self, name: str) -> bool:
        end = ending(name)
        if end in IMAGE_ENDINGS or (not end and begins_an_image(self.head(name))):
            return True
        if not lies_beside(name):
            self.left_out[end] += 1
        return False

    def _left_out_text(self, empty: list[str]) -> str:
        counts = [f"{n} {_plural(kind, n)}" for kind, n in sorted(self.left_out.items())]
        if empty:
            some = ", ".join(shown(name) for name in empty[:5])
            held = f"{len(empty)} folder{'s' * (len(empty) > 1)} without images"
            counts.append(f"{held} ({some}{', ...' * (len(empty) > 5)})")
        return ", ".join(counts)

    def _warn(self, left_out: str) -> None:
        if left_out:
            warnings.warn(f"{self.where}: left out {left_out}", stacklevel=2)


def _plural(kind: str, n: int) -> str:
    return kind if kind.startswith(".") or n == 1 else f"{kind}s"


def _is_visible(name: str) -> bool:
    return not is_hidden(name) and not is_left_by_a_system(name)


def _is_visible_folder(name: str) -> bool:
    """Whether a folder is reported: one left by a system is, its contents are not."""
    return not is_hidden(name)
