"""Everything before the end of the first optimizer step is configuration: told in one line."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from distill.core.echo import short
from distill.core.errors import Interrupted, NonFiniteError, RecipeError, UnreadableImage
from distill.recipes.check import Node, culprit

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EPIPE)
"""A full or failing disk, missing rights, a reader that left: no fault of a recipe."""
_TOLD = (RecipeError, NonFiniteError, Interrupted, UnreadableImage)


@contextmanager
def as_configuration(
    nodes: Sequence[Node], started: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Turn whatever is raised into a line that names the part of the recipe that raised it.

    Args:
        nodes: Every object that the recipe builds.
        started: Whether a step of the optimizer is done: from then on nothing is turned.

    Raises:
        RecipeError: For any exception but those that have a line of their own.
    """
    try:
        yield
    except _TOLD:
        raise
    except Exception as error:
        if started() or (isinstance(error, OSError) and error.errno in DISK):
            raise
        told = short(" ".join(str(error).split()) or type(error).__name__, 300)
        message = f"{type(error).__name__}: {told} (DISTILL_TRACEBACK=1 shows where)"
        raise RecipeError(culprit(nodes, error), message) from error
