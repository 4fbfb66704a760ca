"""The wiring of one peer: it is the student there, and the other peers are its teachers."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules.peer_terms import PeerTerm, read_source
from distill.wiring.tap import Taps
from distill.wiring.term import Term, check_arguments
from distill.wiring.wiring import Wiring

Gradients = Literal["constant", "joint"]
_OTHERS = "teacher@"


class PeerWiring:
    """Captures what one peer's terms need from all peers, and evaluates them.

    Args:
        peer: The name of the peer that the terms train.
        networks: All peers by name.
        terms: Its terms by name.
        gradients: ``constant``: what the other peers gave has no gradient; ``joint``: it has,
            as far as a loss lets it through.

    Raises:
        RecipeError: With the dotted key of a term whose inputs do not fit its loss, or name an
            unknown source or layer.
    """

    def __init__(
        self,
        peer: str,
        networks: Mapping[str, nn.Module],
        terms: Mapping[str, PeerTerm],
        gradients: Gradients,
    ) -> None:
        self._peer, self._gradients, self._terms = peer, gradients, terms
        self._networks = networks
        # The key that the recipe names by the key that the wiring of a student and a teacher has.
        self._keys: dict[str, str] = {}
        own = {name: self._checked(term) for name, term in terms.items()}
        others = nn.ModuleDict({name: net for name, net in networks.items() if name != peer})
        self._wiring = Wiring(own, networks[peer], others if others else None)

    def evaluate(self, batch: Batch, logits: Tensor) -> dict[str, Tensor]:
        """The value of each term, unweighted, for the batch that all peers have just seen.

        Args:
            batch: The batch.
            logits: This peer's outputs (b, k).
        """
        context = self._wiring.context(batch, {"student": logits})
        if self._gradients == "constant":
            context = {
                key: value.detach() if _is_others(key) else value for key, value in context.items()
            }
        return self._wiring.evaluate(context)

    def dry_pass(self, batch: Batch, logits: Tensor) -> dict[str, tuple[int, ...]]:
        """After a pass of a few samples, try every term once.

        Returns:
            The shape of every tapped tensor, by key.

        Raises:
            RecipeError: If a term cannot take its inputs, with all their shapes in one line.
        """
        try:
            shapes = self._wiring.dry_pass(batch, {"student": logits})
        except RecipeError as error:
            raise self._told_by_name(error) from error
        return {self._keys[key]: shape for key, shape in shapes.items() if "@" in self._keys[key]}

    def reaches_others(self, batch: Batch, logits: Tensor) -> bool:
        """After a pass, whether any term has a gradient to what another peer gave."""
        context = self._wiring.context(batch, {"student": logits})
        with torch.enable_grad():
            context = {
                key: value.detach().requires_grad_() if _is_others(key) else value
                for key, value in context.items()
            }
            values = [v for v in self._wiring.evaluate(context).values() if v.requires_grad]
            places = [value for key, value in context.items() if _is_others(key)]
            if not values or not places:
                return False
            found = torch.autograd.grad(torch.stack(values).sum(), places, allow_unused=True)
        return any(gradient is not None for gradient in found)

    def forget(self) -> None:
        """Let go of what a pass captured that no term will read."""
        self._wiring.forget()

    def remove(self) -> None:
        """Take all hooks off the networks."""
        self._wiring.remove()

    def _checked(self, peer_term: PeerTerm) -> Term:
        term, where = peer_term.term, f"model.{peer_term.where}.inputs"
        try:
            check_arguments(term)
            inputs = {
                argument: self._own_key(keys)
                if isinstance(keys, str)
                else [self._own_key(key) for key in keys]
                for argument, keys in term.inputs.items()
            }
        except ValueError as error:
            raise RecipeError(where, str(error)) from error
        return replace(term, inputs=inputs)

    def _own_key(self, key: str) -> str:
        """The key in the wiring of a student and a teacher, of a key that names its network."""
        head, mark, rest = read_source(key, list(self._networks))
        if head == "batch":
            return key
        if mark == "@":
            self._check_path(head, rest)
        if head == self._peer:
            own = f"student{mark}{rest}"
        else:
            # The others hang side by side in one module, where a network's output is its logits.
            own = f"{_OTHERS}{head}.{rest}" if mark == "@" else f"{_OTHERS}{head}"
        self._keys[own] = key
        return own

    def _check_path(self, network: str, path: str) -> None:
        try:
            Taps(self._networks[network], [path]).remove()
        except ValueError as error:
            raise ValueError(f"{network}: {error}") from error

    def _told_by_name(self, error: RecipeError) -> RecipeError:
        name = error.key.removeprefix("model.losses.")
        longest_first = sorted(self._keys, key=len, reverse=True)
        keys = re.compile("|".join(map(re.escape, longest_first)))
        message = keys.sub(lambda found: self._keys[found.group()], error.message)
        return RecipeError(f"model.{self._terms[name].where}", message)


def _is_others(key: str) -> bool:
    return key.startswith(_OTHERS)


def check_alternation(trainer: pl.Trainer, several: bool) -> None:
    """Check that peers can take turns, in one process or ``several``.

    Raises:
        RecipeError: With several batches a step or several processes.
    """
    if trainer.accumulate_grad_batches > 1:
        raise RecipeError("trainer.accumulate_grad_batches", "needs simultaneous updates")
    if several:
        raise RecipeError("model.updates", "several processes need simultaneous updates")
