"""Two sources of images as one: the second's images come after the first's."""

from functools import lru_cache

from PIL import Image
from torch import Tensor

from distill.data.datasets import decoded
from distill.data.sources import Source, open_unlabelled


class Joined:
    """A source of the images of two, with targets of its own.

    Args:
        first: Says what the classes are.
        second: Its images are numbered on from those of the first; None: there are none.
        targets: Class numbers of all (n,).
    """

    def __init__(self, first: Source, second: Source | None, targets: Tensor) -> None:
        self._first, self._second = first, second
        self.classes, self.targets = first.classes, targets

    def name(self, index: int) -> str:
        """What its own source calls the image."""
        source, own = self._of(index)
        return source.name(own)

    def image(self, index: int) -> Image.Image:
        """The decoded image."""
        source, own = self._of(index)
        return source.image(own)

    def stamp(self) -> None:
        """None: its images are looked at one at a time."""

    def _of(self, index: int) -> tuple[Source, int]:
        n = len(self._first.targets)
        if index < n or self._second is None:
            return self._first, index
        return self._second, index - n


@lru_cache(maxsize=4)
def unlabelled_table(spec: str, channels: int, height: int, width: int) -> Tensor:
    """Decode all images of an unlabelled source, once per process.

    Args:
        spec: See :func:`distill.data.sources.open_unlabelled`.
        channels: 1 or 3.
        height: In pixels, that all are resized to; so for the width.
        width: In pixels.

    Returns:
        Images (n, c, h, w), uint8.

    Raises:
        ValueError: If an image cannot be read, with its name.
    """
    return decoded(open_unlabelled(spec), channels, (height, width))
