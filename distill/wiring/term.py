"""A term of the training objective: a loss, its weight, and where its arguments come from."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from distill.core.suggest import nearest


@dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
        loss: Any module that maps tensors to a scalar.
        weight: What its value is multiplied by; finite, at least 0.
        inputs: For each argument of ``loss.forward``, the key of its tensor: ``student.logits``,
            ``teacher.logits``, ``batch.target``, ``batch.index``, ``student@PATH`` or
            ``teacher@PATH`` (the output of the sub-module at a dotted path; ``PATH:input`` is its
            input, ``PATH:0`` the first of several outputs); a list of keys gives a list of tensors.
        batch: With several processes, what the loss is given: ``local``, the process's own samples,
            or ``gathered``, those of all processes. Losses that compare samples with each other,
            such as RKD, see more pairs ``gathered``; to others it makes no difference.
        warmup_epochs: Over so many epochs, of its stage where there are stages, the weight rises to
            its value, see :meth:`weight_in`; 0: it does not.

    Raises:
        ValueError: If the weight is negative or not finite, ``batch`` is neither, or
            ``warmup_epochs`` is negative.

    Example:
        >>> inputs = {"input": "student.logits", "target": "batch.target"}
        >>> Term(nn.CrossEntropyLoss(), weight=0.5, inputs=inputs).weight
        0.5
    """

    loss: nn.Module
    weight: float = 1.0
    inputs: dict[str, str | list[str]] = field(default_factory=dict)
    batch: Literal["local", "gathered"] = "local"
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and at least 0, got {self.weight}")
        if self.batch not in ("local", "gathered"):
            raise ValueError(f"batch must be local or gathered, got {self.batch!r}")
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must be at least 0, got {self.warmup_epochs}")

    def weight_in(self, epoch: int) -> float:
        """``weight * min((epoch + 1) / warmup_epochs, 1)``, as in DKD's and ReviewKD's code.

        Args:
            epoch: From 0.

        Example:
            >>> term = Term(nn.MSELoss(), weight=8.0, warmup_epochs=4)
            >>> [term.weight_in(epoch) for epoch in (0, 1, 3, 4)]
            [2.0, 4.0, 8.0, 8.0]
        """
        if epoch + 1 >= self.warmup_epochs:
            return self.weight
        return self.weight * (epoch + 1) / self.warmup_epochs

    def sources(self) -> list[str]:
        """Every context key that the term reads."""
        values = self.inputs.values()
        return [key for value in values for key in ([value] if isinstance(value, str) else value)]


@dataclass(frozen=True)
class PlacedTerm:
    """A term with its place in a recipe.

    Attributes:
        where: Its dotted key, for messages: ``model.losses.kd``.
        term: Its loss, weight and inputs, every network by its own name.
        trains: The network whose tensors have gradients in it; those of the others are constants.
            None: all have.
    """

    where: str
    term: Term
    trains: str | None = None


def weighted(
    terms: Mapping[str, PlacedTerm], values: Mapping[str, Tensor], epoch: int
) -> dict[str, Tensor]:
    """The values of terms times the weights that they have in an epoch, from 0."""
    return {name: terms[name].term.weight_in(epoch) * value for name, value in values.items()}


def check_arguments(term: Term) -> None:
    """Check that the inputs name exactly the arguments that the loss needs.

    Raises:
        ValueError: For a missing or an unknown argument, with the nearest name.
    """
    parameters = inspect.signature(term.loss.forward).parameters
    loss = type(term.loss).__name__
    for name, keys in term.inputs.items():
        if name not in parameters:
            raise ValueError(f"{loss} has no argument {name!r}{nearest(name, parameters)}")
        if isinstance(keys, list) and parameters[name].annotation is Tensor:
            raise ValueError(f"{name} is one tensor: needs one key, got a list of {len(keys)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in term.inputs:
            raise ValueError(f"{loss} needs its argument {name!r}")
