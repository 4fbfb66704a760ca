"""Images that are files of their own."""

from pathlib import Path

from PIL import Image

from distill.data.decode import decode_file
from distill.data.naming import shown


class Files:
    """What sources of image files share: their names, their images and when they changed.

    Args:
        files: The files, in the order of their numbers.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def name(self, index: int) -> str:
        """Path of an image file."""
        return shown(str(self._files[index]))

    def image(self, index: int) -> Image.Image:
        """Decode an image file."""
        return decode_file(self._files[index])

    def stamp(self) -> str:
        """List names, sizes and times of all files."""
        return " ".join(stamp_of(file) for file in self._files)


def stamp_of(path: Path) -> str:
    """Describe the state of a file by path, size and time."""
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
