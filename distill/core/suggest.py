"""Names in messages: the nearest one, and what tells two lists apart."""

import difflib
from collections.abc import Iterable, Sequence

_TOLD = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of a message: ``, did you mean 'x'?`` or nothing.

    Example:
        >>> nearest("studnet", ["student", "teacher"])
        ", did you mean 'student'?"
    """
    found = difflib.get_close_matches(str(name), [str(each) for each in known], n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def difference(classes: Sequence[str], others: Sequence[str], in_order: bool = True) -> str:
    """What tells two lists of classes apart, in words; none if they are equal.

    Args:
        classes: Names of classes.
        others: Names of classes.
        in_order: Whether the same classes in another order are different.

    Example:
        >>> difference(["0", "1", "10", "2"], ["0", "1", "2", "10"])
        'the same classes in another order: number 2 is 10 and 2'
        >>> difference(["a", "b"], ["a", "c"])
        'not in both: b, c'
    """
    odd = sorted(set(classes) ^ set(others))
    if odd:
        more = f" and {len(odd) - _TOLD} more" if len(odd) > _TOLD else ""
        return f"not in both: {', '.join(odd[:_TOLD])}{more}"
    for number, (one, other) in enumerate(zip(classes, others, strict=False)):
        if in_order and one != other:
            return f"the same classes in another order: number {number} is {one} and {other}"
    return ""
