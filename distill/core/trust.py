"""The packages whose classes a recipe may name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

TRUSTED = (
    "distill",
    "teachers",
    "students",
    "torch",
    "torchvision",
    "timm",
    "torchmetrics",
    "pytorch_lightning",
)
_FURTHER: ContextVar[tuple[str, ...]] = ContextVar("further trusted packages", default=())


def further() -> tuple[str, ...]:
    """The further packages whose classes may be named here and now."""
    return _FURTHER.get()


@contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """Trust these further packages and no others.

    It hands what the command line allows (``--trust``) down to whatever reads a second recipe while
    the first is built, such as ``teachers.from_run``. No recipe can say it.

    Args:
        packages: Their names.

    Example:
        >>> with trusting(["mypackage"]):
        ...     further()
        ('mypackage',)
        >>> further()
        ()
    """
    before = _FURTHER.set(tuple(packages))
    try:
        yield
    finally:
        _FURTHER.reset(before)
