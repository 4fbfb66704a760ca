"""Which folder of a tree names the class of an image: one rule for folders and tars."""

from collections.abc import Iterable, Sequence

_Parts = tuple[str, ...]


def class_of_each(images: Sequence[str], folders: Iterable[str], top: str) -> list[str]:
    """The class of each image: the class folder that it is in, at any depth.

    Class folders lie side by side at the top of the tree. A folder that is alone at the top and
    holds folders but no image only wraps them, so it is looked into instead, and so on.

    Args:
        images: Names of the images' files, from the top of the tree, with ``/`` between folders.
        folders: Names of all folders; those that images are in may be left out.
        top: What stands before a name in a message.

    Returns:
        A class for each image; no text for one that is beside the class folders.

    Raises:
        ValueError: If a class folder holds no image, but another one does.

    Example:
        >>> class_of_each(["train/ant/1.png", "train/bee/old/1.png"], [], "data/")
        ['ant', 'bee']
    """
    holders = {name: _parts(name) for name in {image.rpartition("/")[0] for image in images}}
    tree = {
        parts[:depth]
        for parts in {*holders.values(), *map(_parts, folders)}
        for depth in range(1, len(parts) + 1)
    }
    root = _root(tree, set(holders.values()))
    depth = len(root)
    classes = {name: parts[depth] if len(parts) > depth else "" for name, parts in holders.items()}
    labels = [classes[image.rpartition("/")[0]] for image in images]
    empty = sorted({parts[depth] for parts in tree if len(parts) > depth} - set(labels))
    if empty and any(labels):
        raise ValueError(f"class folder without images: {top}{'/'.join((*root, empty[0]))}")
    return labels


def _root(tree: set[_Parts], holders: set[_Parts]) -> _Parts:
    """The folder that the class folders are in."""
    root: _Parts = ()
    while root not in holders:
        inside = [parts for parts in tree if parts[:-1] == root]
        if len(inside) != 1:
            return root
        root = inside[0]
    return root[:-1]


def _parts(name: str) -> _Parts:
    return tuple(part for part in name.split("/") if part not in ("", "."))
