"""Recognizes the images of a folder or an archive, and names files and classes.

Names are strings, not paths: an archive may hold a million members.
"""

import posixpath
import unicodedata

IMAGE_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff"),
}
# Endings of files that often lie beside images: left out without a warning.
_BESIDE = {
    *("", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini"),
    *(".md", ".rst", ".html", ".pdf", ".log", ".db", ".cls", ".mat", ".npy", ".npz", ".pkl", ".pt"),
    *(".py", ".sh", ".ipynb", ".names", ".lst", ".list", ".md5", ".sha256", ".lock", ".url"),
    *(".zip", ".tar", ".gz", ".tgz", ".parquet"),
}
_LEFT_BY_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    *(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b"\n\r\t "),
)


def shown(name: str) -> str:
    r"""Write a name as one printable line, whatever bytes it is made of.

    Example:
        >>> shown("caf\udce9.png")
        'caf\\udce9.png'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def class_name(folder: str) -> str:
    r"""Normalize a class name: the same however a system writes its accents, and always UTF-8.

    Example:
        >>> class_name("cafe\u0301") == class_name("caf\u00e9")
        True
    """
    return unicodedata.normalize("NFC", folder.encode("utf-8", "backslashreplace").decode())


def ending(name: str) -> str:
    """The ending of a file's name in lower case; numbers are none.

    Example:
        >>> ending("a/b.JPG"), ending("a.b/frame.0001"), ending("a/b")
        ('.jpg', '', '')
    """
    found = posixpath.splitext(name)[1].lower()
    return "" if found[1:].isdecimal() else found


def lies_beside(name: str) -> bool:
    """Whether a file has an ending of files that often lie beside images."""
    return ending(name) in _BESIDE


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, has a name that begins with a dot."""
    return "/." in f"/{name.removeprefix('./')}"


def is_left_by_a_system(name: str) -> bool:
    """Whether a name has a part that archivers and file systems leave behind."""
    return not _LEFT_BY_SYSTEMS.isdisjoint(name.split("/"))


def begins_an_image(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an image format."""
    if head.startswith(_BEGINNINGS):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):
        return head[6:10] == bytes(4)
    return head[4:12] in (b"ftypavif", b"ftypavis")
