"""Images of a folder on disk; links are followed."""

import os
import stat
from pathlib import Path

from distill.data.files import Files
from distill.data.naming import IMAGE_ENDINGS, ending, is_hidden, is_left_by_a_system, shown
from distill.data.trees import HEAD, Tree


class FolderSource(Files):
    """A folder with one sub-folder of images for each class; any folder, where not ``labelled``.

    Which sub-folders are classes: :func:`distill.data.folders.class_of_each`. Files and folders
    whose names begin with a dot are left out, as in a tar; links are followed.

    Raises:
        ValueError: If a link leads nowhere or in a circle, or something with an image's name is
            no file.
    """

    def __init__(self, path: Path, labelled: bool = True) -> None:
        tree = Tree(shown(str(path)), f"{path}/", lambda name: _head(path / name))
        _walk(path, "", tree, ())
        images = sorted(tree.images(), key=lambda name: name.split("/"))
        found = tree.labelled(images) if labelled else tree.unlabelled(images)
        names, self.classes, self.targets = found
        super().__init__([path / name for name in names])


def _walk(top: Path, inside: str, tree: Tree, above: tuple[tuple[int, int], ...]) -> None:
    """Add the files and folders in a folder to the tree; ``above`` are the folders around it."""
    folder = top / inside
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise ValueError(f"cannot read folder {shown(str(folder))}: {error.strerror}") from error
    me = (status.st_dev, status.st_ino)
    if me in above:
        raise ValueError(f"{shown(str(folder))} is a link to a folder that it is in")
    for entry in entries:
        name = f"{inside}/{entry.name}" if inside else entry.name
        if is_hidden(entry.name):
            continue
        if _is_folder(entry):
            tree.folders.append(name)
            if not is_left_by_a_system(entry.name):
                _walk(top, name, tree, (*above, me))
        elif entry.is_file():
            tree.files.append(name)
        else:
            _refuse(entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise ValueError(f"cannot follow {shown(entry.path)}: {error.strerror}") from error


def _refuse(entry: "os.DirEntry[str]") -> None:
    """Refuse a dangling link, and a pipe or device with an image's name."""
    path = shown(entry.path)
    if entry.is_symlink() and not os.path.exists(entry.path):
        raise ValueError(
            f"{path} is a link to {shown(os.readlink(entry.path))}, which is not there"
        )
    if ending(entry.name) in IMAGE_ENDINGS:
        mode = os.stat(entry.path).st_mode
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise ValueError(f"{path} is {kind}, not a file")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
