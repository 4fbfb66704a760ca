"""Concatenates two sources of images."""

from functools import lru_cache

from PIL import Image
from torch import Tensor

from distill.core.preprocessing import Rule
from distill.data.datasets import load_images
from distill.data.sources import InOrder, Source, open_unlabelled


class ConcatSource:
    """Concatenates the images of two sources, with targets of its own.

    Args:
        first: Gives the classes.
        second: Its images come after those of the first; None: no more images.
        targets: Class numbers of all (n,).
    """

    def __init__(self, first: Source, second: Source | None, targets: Tensor) -> None:
        self._first, self._second = first, second
        self.classes, self.targets = first.classes, targets

    def name(self, index: int) -> str:
        """Name of the image in its own source."""
        source, own = self._of(index)
        return source.name(own)

    def image(self, index: int) -> Image.Image:
        """Decode an image."""
        source, own = self._of(index)
        return source.image(own)

    def lay_out(self) -> None:
        """Lay out those of the two that are read in order."""
        for source in (self._first, self._second):
            if isinstance(source, InOrder):
                source.lay_out()

    def stamp(self) -> None:
        """No stamp: its images are read one at a time."""

    def _of(self, index: int) -> tuple[Source, int]:
        n = len(self._first.targets)
        if index < n or self._second is None:
            return self._first, index
        return self._second, index - n


@lru_cache(maxsize=4)
def unlabelled_table(
    spec: str, channels: int, height: int, width: int, rule: Rule = "squash"
) -> Tensor:
    """Decode all images of an unlabelled source, once per process.

    Args:
        spec: See :func:`distill.data.sources.open_unlabelled`.
        channels: 1 or 3.
        height: In pixels, of the resized images.
        width: In pixels, of the resized images.
        rule: How they are resized.

    Returns:
        Images (n, c, h, w), uint8.

    Raises:
        ValueError: If an image cannot be read, with its name.
    """
    return load_images(open_unlabelled(spec), channels, (height, width), rule)
