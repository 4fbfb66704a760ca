"""The terms of several networks that learn from each other: what belongs to which of them."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.core.suggest import nearest
from distill.modules.networks import Networks
from distill.modules.objective import Objective, log_losses, log_total, reseed_step
from distill.modules.teacher import frozen_running_stats
from distill.wiring.keys import BATCH, split_key
from distill.wiring.term import PlacedTerm, Term
from distill.wiring.wiring import reaches_others

Gradients = Literal["constant", "joint"]
Updates = Literal["simultaneous", "alternating"]
STUDENT, EACH, OWN, OTHER = "student", "each", "peer", "other"
PLACEHOLDERS = (OWN, OTHER)
_RESERVED = (EACH, OWN, OTHER, BATCH, STUDENT, "teacher")


def check_names(names: Sequence[str]) -> None:
    """Check that peers' names can stand in context keys.

    Raises:
        ValueError: For a name that means something else there.
    """
    for name in names:
        if name in _RESERVED or not name.isidentifier():
            taken = ", ".join(_RESERVED)
            raise ValueError(f"peers must have plain names other than {taken}, got {name!r}")


def check_known(argument: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Check that an argument names peers alone.

    Raises:
        ValueError: With the first that is none.
    """
    names = list(names)
    for name in given:
        if name not in names:
            hint = nearest(name, names)
            raise ValueError(f"{argument} has no peer {name!r}{hint}; known: {', '.join(names)}")


def check_conventions(updates: str, gradients: str) -> None:
    """Check that conventions are known and go together.

    Raises:
        ValueError: If they are not, or do not.
    """
    if updates not in ("simultaneous", "alternating"):
        raise ValueError(f"updates must be simultaneous or alternating, got {updates!r}")
    if gradients not in ("constant", "joint"):
        raise ValueError(f"gradients must be constant or joint, got {gradients!r}")
    if gradients == "joint" and updates == "alternating":
        raise ValueError("gradients 'joint' needs simultaneous updates")


class Turns:
    """Which peers a pass trains: all, or one after another.

    Args:
        learners: The peers that are trained.
        updates: ``simultaneous``: one turn for all; ``alternating``: a turn each.

    Attributes:
        learners: Those whose turn it is.
    """

    def __init__(self, learners: Sequence[str], updates: Updates) -> None:
        one_by_one = updates == "alternating"
        self._turns = [[name] for name in learners] if one_by_one else [list(learners)]
        self.learners = self._turns[0]
        self._totals: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[list[str]]:
        """Take all turns of a step."""
        for learners in self._turns:
            self.learners = learners
            yield learners

    def check(self, trainer: pl.Trainer) -> None:
        """Check that peers can take turns.

        Raises:
            RecipeError: With several batches a step or several processes.
        """
        if len(self._turns) == 1:
            return
        if trainer.accumulate_grad_batches > 1:
            raise RecipeError("trainer.accumulate_grad_batches", "needs simultaneous updates")
        if trainer.world_size > 1:
            raise RecipeError("model.updates", "several processes need simultaneous updates")

    def due(self, terms: Iterable[str]) -> list[str]:
        """The terms, ``<peer>/<term>``, of those whose turn it is."""
        return [name for name in terms if name.split("/")[0] in self.learners]

    def log(self, module: pl.LightningModule, weighted: Mapping[str, Tensor]) -> None:
        """Log what each learner's terms came to, and the sum over all peers' last turns."""
        for peer in self.learners:
            own = [value for name, value in weighted.items() if name.split("/")[0] == peer]
            self._totals[peer] = torch.stack(own).sum().detach()
        log_losses(module, {peer: self._totals[peer] for peer in self.learners})
        log_total(module, torch.stack(list(self._totals.values())).sum())


def peer_outputs(
    module: pl.LightningModule, networks: Networks, batch: Batch, learners: Sequence[str], seed: int
) -> dict[str, Outputs]:
    """Every peer's outputs for a batch; those that are not learning are constants of this pass.

    The student comes last and draws as it would alone, whatever peers there are.

    Args:
        module: What is trained.
        networks: All peers.
        batch: What they all see.
        learners: Those that are trained by this pass.
        seed: What dropout in them follows from.
    """
    outputs = {}
    for name, network in reversed(networks.by_name.items()):
        reseed_step(module, seed, batch, *([] if name == STUDENT else [name]))
        if name in learners:
            outputs[name] = networks.outputs(name, batch.image, training=True)
        else:
            with torch.no_grad(), frozen_running_stats(network):
                outputs[name] = networks.outputs(name, batch.image, training=True)
    return outputs


def check_joint(objective: Objective, batch: Batch, outputs: Mapping[str, Outputs]) -> None:
    """Check that ``gradients: joint`` has an effect.

    Args:
        objective: The terms.
        batch: A few samples.
        outputs: What the networks have just given for them.

    Raises:
        RecipeError: If no term has a gradient to what another peer gave.
    """
    wiring = objective.wiring
    if not reaches_others(wiring, objective.terms, wiring.context(batch, outputs)):
        why = "every loss detaches its teacher input; use PeerKL or MSELoss"
        raise RecipeError("model.gradients", f"joint has no effect: {why}")


def network_key(name: str) -> str:
    """The dotted key of a network in a recipe."""
    return f"model.{name}" if name == STUDENT else f"model.peers.{name}"


def objectives(
    losses: Mapping[str, Mapping[str, Term]],
    names: Sequence[str],
    frozen: Sequence[str] = (),
    gradients: Gradients = "constant",
) -> dict[str, PlacedTerm]:
    """Every peer's own terms, with names in place of ``peer`` and ``other``.

    Terms under ``each`` are those of every peer, unless the peer has one of that name itself. A
    term that reads ``other`` is there once for every other peer, with its weight divided by their
    number: the mean over them. Each term gets its own copy of the loss, so trained parts of losses
    are not shared; the copies begin alike.

    Args:
        losses: As in the recipe: by ``each`` or a peer's name, then by the term's name.
        names: Of all peers.
        frozen: Of those that are not trained: terms under ``each`` are not theirs.
        gradients: ``constant``: what other peers gave has no gradient; ``joint``: it has.

    Returns:
        By ``<trained peer>/<term>``: ``b/ce``, or ``b/dml/c`` for one that reads peer c.

    Raises:
        ValueError: If terms are given for something that is no peer or not trained, or a trained
            peer has none, or there is none.

    Example:
        >>> from torch import nn
        >>> dml = Term(nn.MSELoss(), inputs={"input": "peer.logits", "target": "other.logits"})
        >>> found = objectives({"each": {"dml": dml}}, ["student", "b", "c"])
        >>> found["b/dml/c"].term.inputs, found["b/dml/c"].term.weight
        ({'input': 'b.logits', 'target': 'c.logits'}, 0.5)
    """
    check_known("losses", losses, (EACH, *names))
    for name in frozen:
        if name in losses:
            raise ValueError(f"losses has terms for {name!r}, of which nothing is trained")
    learners = [name for name in names if name not in frozen]
    if not learners:
        raise ValueError("trained_parts leaves nothing to train")
    found: dict[str, PlacedTerm] = {}
    for owner in learners:
        own = dict(_objective(losses, owner, names))
        if not own:
            raise ValueError(f"losses must train every peer, has no term for {owner!r}")
        trains = owner if gradients == "constant" else None
        found |= {f"{owner}/{name}": replace(term, trains=trains) for name, term in own.items()}
    return found


def _objective(
    losses: Mapping[str, Mapping[str, Term]], owner: str, names: Sequence[str]
) -> Iterator[tuple[str, PlacedTerm]]:
    own, common = losses.get(owner, {}), losses.get(EACH, {})
    others = [name for name in names if name != owner]
    for name, term in (dict(common) | dict(own)).items():
        where = f"model.losses.{owner if name in own else EACH}.{name}"
        if not any(split_key(key).head == OTHER for key in term.sources()):
            yield name, PlacedTerm(where, _named(term, {OWN: owner}, 1))
            continue
        for other in others:
            named = _named(term, {OWN: owner, OTHER: other}, len(others))
            yield f"{name}/{other}", PlacedTerm(where, named)


def _named(term: Term, names: Mapping[str, str], share: int) -> Term:
    def name(key: str) -> str:
        found = split_key(key)
        return str(found._replace(head=names.get(found.head, found.head)))

    inputs = {
        argument: name(keys) if isinstance(keys, str) else [name(key) for key in keys]
        for argument, keys in term.inputs.items()
    }
    loss = copy.deepcopy(term.loss)
    return replace(term, loss=loss, weight=term.weight / share, inputs=inputs)
