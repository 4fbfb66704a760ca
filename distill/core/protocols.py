"""What a run asks of its LightningModule; ``docs/extending.md`` shows how to write one."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.outputs import Outputs


class InputNormalization(Protocol):
    """What images in 0..1 are normalised with."""

    @property
    def mean(self) -> Sequence[float]:
        """Of each channel."""

    @property
    def std(self) -> Sequence[float]:
        """Of each channel."""


class NamedNetworks(Protocol):
    """Networks by name, such as ``distill.modules.Networks``."""

    @property
    def by_name(self) -> Mapping[str, nn.Module]:
        """The networks themselves, the student first."""

    @property
    def normalization(self) -> Mapping[str, InputNormalization]:
        """What the images of each are normalised with."""

    def outputs(self, name: str, image: Tensor, training: bool = False) -> Outputs:
        """What a network gives for images as they are."""


class Scores(Protocol):
    """The figures of a module's networks, such as ``distill.modules.Evaluation``."""

    scored: list[str]
    teacher_scores: dict[str, float]


@runtime_checkable
class LaysOut(Protocol):
    """Networks whose layout can be chosen before they are trained."""

    def lay_out(self, channels_last: bool) -> None:
        """Keep images and weights in this layout."""


@runtime_checkable
class RunModule(Protocol):
    """A LightningModule that a run can train, test and report on.

    Beside these it logs ``train/loss`` in training and ``val/<metric>`` in validation, the task's
    headline figure in percent.

    Attributes:
        student: What the run leaves.
        networks: The student and whatever else is there.
        evaluation: Holds the teacher's figures; empty without one.
    """

    student: nn.Module
    networks: NamedNetworks
    evaluation: Scores

    @property
    def teacher(self) -> nn.Module | None:
        """The network that gives targets; None: there is none."""

    def outputs_of(self, network: str, batch: Batch) -> Outputs:
        """A network's outputs for images as they are."""


@runtime_checkable
class HasLosses(Protocol):
    """A module whose student is trained by losses that have names."""

    student: nn.Module
    losses: nn.ModuleDict


@runtime_checkable
class Seeded(Protocol):
    """Whatever draws from the seed of the run."""

    seed: int


@runtime_checkable
class SavesNetworks(Protocol):
    """A module that a finished run leaves more of than the student."""

    @property
    def saved_networks(self) -> Mapping[str, nn.Module]:
        """By file in the run's directory."""
