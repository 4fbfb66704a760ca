"""Values as messages show them: in one short line, whatever they are."""

LIMIT = 80


def shown(value: object, limit: int = LIMIT) -> str:
    """A value's ``repr`` in one line of at most ``limit`` characters.

    Example:
        >>> shown("a" * 100, 10)
        "'aaaaaa..."
        >>> shown([1, "b"])
        "[1, 'b']"
    """
    if isinstance(value, str | bytes):
        value = value[:limit]  # of 2 MB no repr is made first
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; endless nesting
        text = f"a {type(value).__name__} too large to show"
    return short(text, limit)


def short(text: str, limit: int = LIMIT) -> str:
    r"""A text in one line of at most ``limit`` characters, cut with three dots.

    Example:
        >>> short("one\ntwo three", 9)
        'one tw...'
    """
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
