"""A term of the training objective: a loss, its weight, and where its arguments come from."""

import inspect
import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from torch import nn

from distill.core.suggest import nearest

NETWORKS = ("student", "teacher")
_PLAIN = ("student.logits", "teacher.logits", "batch.target", "batch.index")


@dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
        loss: Any module that maps tensors to a scalar.
        weight: What its value is multiplied by; finite, at least 0.
        inputs: For each argument of ``loss.forward``, the key of its tensor: ``student.logits``,
            ``teacher.logits``, ``batch.target``, ``batch.index``, ``student@PATH`` or
            ``teacher@PATH`` (the output of the sub-module at a dotted path; ``PATH:input`` is its
            input); a list of keys gives a list of tensors.
        batch: With several processes, what the loss is given: ``local``, the process's own samples,
            or ``gathered``, those of all processes. Losses that compare samples with each other,
            such as RKD, see more pairs ``gathered``; to others it makes no difference.

    Raises:
        ValueError: If the weight is negative or not finite, or ``batch`` is neither.

    Example:
        >>> inputs = {"input": "student.logits", "target": "batch.target"}
        >>> Term(nn.CrossEntropyLoss(), weight=0.5, inputs=inputs).weight
        0.5
    """

    loss: nn.Module
    weight: float = 1.0
    inputs: dict[str, str | list[str]] = field(default_factory=dict)
    batch: Literal["local", "gathered"] = "local"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and at least 0, got {self.weight}")
        if self.batch not in ("local", "gathered"):
            raise ValueError(f"batch must be local or gathered, got {self.batch!r}")

    def sources(self) -> list[str]:
        """Every context key that the term reads."""
        values = self.inputs.values()
        return [key for value in values for key in ([value] if isinstance(value, str) else value)]


class TapKey(NamedTuple):
    """A context key that names a place inside a network."""

    network: str
    path: str


def parse_key(key: str) -> TapKey | None:
    """Read a context key; None for the plain ones (logits, target, index).

    Raises:
        ValueError: If it is none of the known forms, with the nearest one.

    Example:
        >>> parse_key("teacher@layer3.2.relu:input")
        TapKey(network='teacher', path='layer3.2.relu:input')
        >>> parse_key("student.logits") is None
        True
    """
    network, at, path = key.partition("@")
    if at and network in NETWORKS and path:
        return TapKey(network, path)
    if key in _PLAIN:
        return None
    forms = (*_PLAIN, "student@PATH", "teacher@PATH")
    raise ValueError(f"unknown source {key!r}{nearest(key, forms)}; known: {', '.join(forms)}")


def check_arguments(term: Term) -> None:
    """Check that the inputs name exactly the arguments that the loss needs.

    Raises:
        ValueError: For a missing or an unknown argument, with the nearest name.
    """
    parameters = inspect.signature(term.loss.forward).parameters
    loss = type(term.loss).__name__
    for name in term.inputs:
        if name not in parameters:
            raise ValueError(f"{loss} has no argument {name!r}{nearest(name, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in term.inputs:
            raise ValueError(f"{loss} needs its argument {name!r}")
