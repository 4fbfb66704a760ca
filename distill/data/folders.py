"""Finds the class folders of a tree: one rule for folders and archives."""

from collections.abc import Iterable, Sequence

from distill.data.naming import class_name, shown

SPLITS = {
    *("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"),
    *("extra", "unlabeled", "unlabelled"),
}
"""Names of splits, in lower case and without numbers: not those of classes."""

_Parts = tuple[str, ...]


def class_of_each(images: Sequence[str], top: str) -> list[str]:
    """Name the class of each image: the class folder that it is in, at any depth.

    Class folders lie side by side at the top of the tree. A folder that is alone at the top and
    holds folders but no image only wraps them: the folders in it are taken instead, and so on.

    Args:
        images: Names of the images' files, from the top of the tree, with ``/`` between folders.
        top: Stands before a name in messages.

    Returns:
        A class for each image; no text for one that is beside the class folders.

    Raises:
        ValueError: If the folders are the splits of a set, or the only one holds images beside
            folders of images.

    Example:
        >>> class_of_each(["train/ant/1.png", "train/bee/old/1.png"], "data/")
        ['ant', 'bee']
    """
    holders = _holders(images)
    root = _root(_tree(holders.values()), set(holders.values()))
    depth = len(root)
    folders = {parts[depth] for parts in holders.values() if len(parts) > depth}
    _refuse_splits(folders, "".join(f"{part}/" for part in root), top)
    if len(folders) == 1:
        _refuse_images_beside((*root, *folders), set(holders.values()), top)
    named = {folder: class_name(folder) for folder in folders}
    classes = {
        name: named[parts[depth]] if len(parts) > depth else "" for name, parts in holders.items()
    }
    return [classes[_folder_of(image)] for image in images]


def without_images(images: Sequence[str], folders: Iterable[str]) -> list[str]:
    """List folders beside, or around, the class folders that hold no image at any depth.

    Args:
        images: As for :func:`class_of_each`.
        folders: Names of all folders; those that images are in may be left out.

    Example:
        >>> without_images(["ant/1.png", "bee/1.png"], ["ant", "cat", "cat/old", "ant/old"])
        ['cat']
    """
    holders = set(_holders(images).values())
    full = _tree(holders)
    root = _root(full, holders)
    tops = {root[:depth] for depth in range(len(root) + 1)}
    everything = _tree(map(_parts, folders))
    return sorted("/".join(parts) for parts in everything - full if parts[:-1] in tops)


def _refuse_splits(folders: set[str], inside: str, top: str) -> None:
    splits = sorted(folders, key=lambda name: (not name.lower().startswith("train"), name))
    if len(splits) < 2 or not all(_is_split(name) for name in splits):
        return
    first = shown(f"{inside}{splits[0]}")
    give = f"give {shown(top)}{first}" if top.endswith("/") else f"unpack it and give {first}"
    place, held = shown(f"{top}{inside}").rstrip("/:"), ", ".join(splits)
    raise ValueError(f"{place} holds the splits {held}, not classes: {give}")


def _is_split(name: str) -> bool:
    return name.lower().rstrip("0123456789_-") in SPLITS


def _refuse_images_beside(only: _Parts, holders: set[_Parts], top: str) -> None:
    """Refuse a single class whose folders were probably meant as classes."""
    depth = len(only)
    inside = sorted({parts[depth] for parts in holders if len(parts) > depth})
    if len(inside) < 2:
        return
    place = only if only in holders else only[:-1]
    held = ", ".join("/".join((*only[len(place) :], name)) for name in inside[:5])
    found = (
        f"{top}{'/'.join(place)}".rstrip("/:") + f" holds images beside folders of images ({held})"
    )
    raise ValueError(f"{shown(found)}: move them for these folders to be the classes")


def _holders(images: Sequence[str]) -> dict[str, _Parts]:
    """List the folders that contain images, by name and in parts."""
    return {name: _parts(name) for name in {_folder_of(image) for image in images}}


def _tree(folders: Iterable[_Parts]) -> set[_Parts]:
    """List folders and the folders that they are in."""
    return {parts[:depth] for parts in folders for depth in range(1, len(parts) + 1)}


def _root(tree: set[_Parts], holders: set[_Parts]) -> _Parts:
    """Find the folder that the class folders are in."""
    root: _Parts = ()
    while root not in holders:
        inside = [parts for parts in tree if parts[:-1] == root]
        if len(inside) != 1:
            return root
        root = inside[0]
    return root[:-1]


def _folder_of(image: str) -> str:
    return image.rpartition("/")[0]


def _parts(name: str) -> _Parts:
    return tuple(part for part in name.split("/") if part not in ("", "."))
