"""Nearest names, for messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of a message: ``, did you mean 'x'?`` or nothing.

    Example:
        >>> nearest("studnet", ["student", "teacher"])
        ", did you mean 'student'?"
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {found[0]!r}?" if found else ""
