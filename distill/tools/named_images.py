"""The images that a command line names: files, folders, patterns, archives and tables."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from distill.core.errors import RecipeError
from distill.data.files import Files
from distill.data.folder_source import FolderSource
from distill.data.naming import IMAGE_ENDINGS, ending, shown
from distill.data.sources import open_unlabelled

_TABLES = {".csv", ".tsv", ".parquet", ".tar", ".zip"}
Named = tuple[str, Image.Image | ValueError]
"""What an image is called, and the image, or why it cannot be read."""


class _Images(Protocol):
    def name(self, index: int) -> str: ...

    def image(self, index: int) -> Image.Image: ...


def open_images(specs: Sequence[str | Path]) -> Iterator[Named]:
    """Find all images first, then read one after the other.

    Args:
        specs: Files, folders of any depth, patterns such as ``a/**/*.jpg``, and what
            :func:`distill.data.sources.open_unlabelled` takes by its ending.

    Raises:
        RecipeError: At once, if something is not there, or holds no images.
    """
    found = [opened for spec in specs for opened in _opened(str(spec))]
    return (named for source, count in found for named in _read(source, count))


def _opened(spec: str) -> Iterator[tuple[_Images, int]]:
    path = Path(spec)
    try:
        if path.is_file() and ending(path.name) not in _TABLES:
            yield Files([path]), 1
        elif path.exists():
            source = FolderSource(path, labelled=False) if path.is_dir() else open_unlabelled(spec)
            yield source, len(source.targets)
        else:
            for match in _matches(spec):
                yield from _opened(match)
    except (ValueError, OSError) as error:
        raise RecipeError(shown(spec), str(error)) from error


def _matches(spec: str) -> list[str]:
    """The folders and images that a pattern matches."""
    names = sorted(glob.glob(spec, recursive=True))
    found = [name for name in names if Path(name).is_dir() or ending(name) in IMAGE_ENDINGS]
    if not found:
        raise ValueError("no such file or folder" if not names else "matches no image")
    return found


def _read(source: _Images, count: int) -> Iterator[Named]:
    for index in range(count):
        try:
            yield source.name(index), source.image(index)
        except ValueError as error:
            yield source.name(index), error
