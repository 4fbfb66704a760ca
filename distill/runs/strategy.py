"""What Lightning's DDP says of parameters without a gradient, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from distill.core.errors import RecipeError


@contextmanager
def unused_parameters() -> Iterator[None]:
    """Tell what to set where a parameter gets no gradient in some steps, or in one process.

    Raises:
        RecipeError: In its place.
    """
    try:
        yield
    except RuntimeError as error:
        if "find_unused_parameters" not in str(error):
            raise
        told = "a parameter got no gradient in a step: set ddp_find_unused_parameters_true"
        raise RecipeError("trainer.strategy", told) from error
