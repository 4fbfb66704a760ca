"""The weighted terms that a module trains on: wired, tried, evaluated and logged."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.core.randomness import reseed
from distill.losses.checks import SizedByData
from distill.modules.finite import check_total
from distill.modules.loaders import LoaderData
from distill.modules.networks import Networks
from distill.tasks import ImageData
from distill.wiring.batch_norms import read_batch_norms
from distill.wiring.gradient_norms import gradient_norms
from distill.wiring.keys import Sources, split_key
from distill.wiring.logged_steps import logs_this_step
from distill.wiring.regions import Places
from distill.wiring.term import PlacedTerm, Term, weighted
from distill.wiring.wiring import Wiring


@runtime_checkable
class NumbersSamples(Protocol):
    """A datamodule whose training samples have numbers."""

    classes: tuple[str, ...]

    def highest_index(self) -> int:
        """The largest of ``batch.index`` in training."""


class Objective:
    """Terms by name with the wiring that feeds them.

    Args:
        terms: By name.
        trained: Names of the networks that they train.
        watched: A key at which the gradient of each weighted term is measured on logged steps.
        moving: Whether the batch norms that losses ask for are being trained.
        aliases: Further names of networks, by which terms may read outputs alone.

    Attributes:
        wiring: What captures their inputs, from ``wire`` on.
        shapes: Of every tapped tensor of two samples, by key, after ``dry_run``.
        unreached: Names of parameters without a gradient, where several processes train.
    """

    def __init__(
        self,
        terms: Mapping[str, PlacedTerm],
        trained: Sequence[str],
        watched: str | None = None,
        moving: bool = False,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.terms, self._watched = dict(terms), watched
        self._trained, self.moving, self._aliases = trained, moving, dict(aliases or {})
        self._wiring: Wiring | None = None
        self._networks: dict[str, nn.Module] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.unreached: list[str] = []

    @property
    def wiring(self) -> Wiring:
        """The wiring of this training.

        Raises:
            RuntimeError: Outside of training.
        """
        if self._wiring is None:
            raise RuntimeError("terms are wired in fit alone")
        return self._wiring

    def wire(
        self,
        networks: Networks,
        data: ImageData,
        absent: Mapping[str, str] | None = None,
        placeholders: tuple[str, ...] = (),
    ) -> None:
        """Capture what the terms read.

        Args:
            networks: What they read from.
            data: Its task says what networks give and what the batch holds.
            absent: Networks that the recipe left out, see :class:`~distill.wiring.keys.Sources`.
            placeholders: Names that stand for networks in the recipe.

        Raises:
            RecipeError: With the dotted key of a term whose inputs do not fit its loss, or name an
                unknown source or layer.
        """
        if self._watched is not None:
            key = split_key(self._watched)
            if key.head not in self._trained or not key.rest or key.region:
                forms = " or ".join(f"{n}.logits or {n}@PATH" for n in self._trained)
                raise RecipeError("model.gradient_norms", f"needs {forms}, got {self._watched!r}")
        self._networks = found = networks.by_name
        names, task = tuple(found), data.task
        places = task if isinstance(task, Places) else None
        absent = dict(absent or {}) | (data.absent if isinstance(data, LoaderData) else {})
        given = (names, task.outputs, task.sources, placeholders, absent, places, self._aliases)
        sources = Sources(*given)
        self._wiring = Wiring(self.terms, found, sources, self._watched)
        _check_sizes(self.terms.values(), data)
        _check_reach(self.terms.values(), self._trained)

    def unread(self, network: str) -> list[str]:
        """The network, if no term reads its outputs; layers inside it may be read."""
        sources = [split_key(key) for each in self.terms.values() for key in each.term.sources()]
        return [] if any(key[:2] == (network, ".") for key in sources) else [network]

    def unwire(self) -> None:
        """Take all hooks off the networks."""
        if self._wiring is not None:
            self._wiring.remove()
        self._wiring = None

    def dry_run(
        self,
        batch: Batch,
        outputs: Mapping[str, Outputs],
        stored: Callable[[str, Tensor], Tensor] | None = None,
    ) -> None:
        """Try every term once, if they are wired; see ``Wiring.dry_run``."""
        if self._wiring is not None:
            self.shapes = self._wiring.dry_run(batch, outputs, stored)
            self.read_batch_norms()

    def notes(self) -> list[str]:
        """What is tapped and of which shape, a line each, and what gets no gradient."""
        taps = [f"tap      {key} {shape[1:]}" for key, shape in self.shapes.items()]
        if not self.unreached:
            return taps
        told = f"{self.unreached[0]} gets no gradient, of {len(self.unreached)} parameters"
        return [*taps, f"note     ddp_find_unused_parameters_true: {told}"]

    def clear(self) -> None:
        """Let go of what a pass captured that no term will read."""
        if self._wiring is not None:
            self._wiring.clear()

    def weigh(
        self,
        module: pl.LightningModule,
        values: Mapping[str, Tensor],
        context: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The weighted values of terms in a step of training, logged and finite.

        Args:
            module: What is trained.
            values: Of the terms, by name.
            context: What they read.

        Raises:
            NonFiniteError: Naming the terms that are infinite or NaN.
        """
        products = weighted(self.terms, values, module.current_epoch)
        total = torch.stack(list(products.values())).sum()
        check_total(total, values, module.global_step, context.get("batch.target"))
        if self._watched is not None and logs_this_step(module.trainer):
            norms = gradient_norms(products, context[self._watched])
            module.log_dict({f"train/gradient/{name}": norm for name, norm in norms.items()})
        log_losses(module, {name: value.detach() for name, value in values.items()})
        return products

    def total(
        self,
        module: pl.LightningModule,
        values: Mapping[str, Tensor],
        context: Mapping[str, Tensor],
    ) -> Tensor:
        """The weighted sum of all terms, logged; the arguments are those of ``weigh``."""
        total = torch.stack(list(self.weigh(module, values, context).values())).sum()
        log_total(module, total)
        return total

    def read_batch_norms(self) -> None:
        """Give losses the batch norms that they ask for, as they are now."""
        read_batch_norms((placed.term for placed in self.terms.values()), self._networks)


def _check_sizes(terms: Iterable[PlacedTerm], data: object) -> None:
    """Check that losses whose size depends on the data fit them."""
    if not isinstance(data, NumbersSamples):
        return
    for placed in terms:
        for part in placed.term.loss.modules():
            if isinstance(part, SizedByData):
                try:
                    part.check_data(len(data.classes), data.highest_index() + 1)
                except ValueError as error:
                    raise RecipeError(placed.where, str(error)) from error


def _check_reach(terms: Iterable[PlacedTerm], trained: Sequence[str]) -> None:
    """Check that each term depends on something that is trained."""
    for placed in terms:
        heads = {split_key(key).head for key in placed.term.sources()}
        weights = any(each.requires_grad for each in placed.term.loss.parameters())
        if placed.term.weight and not weights and heads.isdisjoint(trained):
            raise RecipeError(f"{placed.where}.inputs", "reads nothing of what is trained")


def placed_terms(losses: Mapping[str, Term]) -> dict[str, PlacedTerm]:
    """The terms of ``model.losses`` with their places in the recipe."""
    return {name: PlacedTerm(f"model.losses.{name}", term) for name, term in losses.items()}


def log_losses(module: pl.LightningModule, values: Mapping[str, Tensor]) -> None:
    """Log values as ``train/loss/<name>``, averaged over processes."""
    told = {f"train/loss/{name}": value for name, value in values.items()}
    module.log_dict(told, sync_dist=module.trainer.world_size > 1)


def log_total(module: pl.LightningModule, total: Tensor) -> None:
    """Log the objective's value as ``train/loss``."""
    several = module.trainer.world_size > 1
    module.log("train/loss", total.detach(), prog_bar=True, sync_dist=several)


def reseed_step(module: pl.LightningModule, seed: int, batch: Batch, *names: str) -> None:
    """Set torch's generators from the seed and the batch's number, for draws inside networks.

    Not for a batch of a plain loader, whose own draws would follow from them too.

    Args:
        module: What is trained.
        seed: The run's.
        batch: What is trained on.
        names: Tell several draws of a step apart.
    """
    if not batch.keyed:
        return
    # Each process has its own dropout; a single one draws as it would without others.
    rank = [module.global_rank] if module.global_rank else []
    reseed(seed, "step", module.trainer.fit_loop.epoch_loop.total_batch_idx, *rank, *names)
