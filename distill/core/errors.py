"""The errors that end a run with a message instead of a traceback."""


class RecipeError(ValueError):
    """Something in a recipe is wrong.

    Args:
        key: The dotted key of the culprit, or a file's name.
        message: What was needed and what came.

    Example:
        >>> print(RecipeError("model.losses.kd.weight", "must be at least 0, got -1"))
        model.losses.kd.weight: must be at least 0, got -1
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key, self.message = key, message


class NonFiniteError(RuntimeError):
    """A loss or a weight became infinite or NaN, so training stopped."""


class Interrupted(RuntimeError):  # noqa: N818 - not an error: somebody asked the run to stop
    """A signal ended the run, after a checkpoint was saved.

    Args:
        signum: The signal's number.
        message: What was saved and how to go on.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class UnreadableImage(ValueError):  # noqa: N818 - as in "cannot read image"
    """An image that cannot be read, in one line that names it.

    A loader worker hands an error on as text, wrapped in its traceback, and makes a new one of the
    same class from it: this one takes its line out again, and keeps the rest as a note.
    """

    def __init__(self, message: str) -> None:
        wrapped, line = message, message.strip().rpartition("\n")[2]
        super().__init__(line.removeprefix(f"{__name__}.{type(self).__name__}: "))
        if "\n" in wrapped:
            self.add_note(wrapped)
