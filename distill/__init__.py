"""Knowledge distillation for vision.

``fit``, ``load_student`` and ``capture`` are imported when they are first used, so that
``import distill`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.tools.fit import fit
    from distill.tools.load_student import load_student
    from distill.wiring.capture import capture

__version__ = "0.2.0"
__all__ = ["capture", "fit", "load_student"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has this name
    if name == "fit":
        from distill.tools.fit import fit

        return fit
    if name == "load_student":
        from distill.tools.load_student import load_student

        return load_student
    if name == "capture":
        from distill.wiring.capture import capture

        return capture
    raise AttributeError(f"module 'distill' has no attribute {name!r}")
