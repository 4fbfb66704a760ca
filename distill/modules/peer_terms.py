"""The terms of several networks that learn from each other: what belongs to which of them."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from distill.core.suggest import nearest
from distill.wiring.term import Term, parse_key

EACH, OWN, OTHER = "each", "peer", "other"
_RESERVED = (EACH, OWN, OTHER, "batch", "student", "teacher")


@dataclass(frozen=True)
class PeerTerm:
    """A term of one peer's objective.

    Attributes:
        where: Its dotted key in the recipe, below ``model``.
        term: Its loss, weight and inputs, every network by its own name.
    """

    where: str
    term: Term


class Source(NamedTuple):
    """A context key, read.

    Attributes:
        head: A network's name, or ``batch``.
        mark: ``.`` before ``logits`` or a part of the batch, ``@`` before a path.
        rest: What follows.
    """

    head: str
    mark: str
    rest: str


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


def objectives(
    losses: Mapping[str, Mapping[str, Term]], names: Sequence[str], frozen: Sequence[str] = ()
) -> dict[str, dict[str, PeerTerm]]:
    """Every peer's own terms, with names in place of ``peer`` and ``other``.

    Terms under ``each`` are those of every peer, unless the peer has one of that name itself. A
    term that reads ``other`` is there once for every other peer, with its weight divided by their
    number: the mean over them. Each term gets its own copy of the loss, so trained parts of losses
    are not shared; the copies begin alike.

    Args:
        losses: As in the recipe: by ``each`` or a peer's name, then by the term's name.
        names: Of all peers.
        frozen: Of those that are not trained: terms under ``each`` are not theirs.

    Returns:
        By trained peer, then by the term's name: ``ce``, or ``dml/b`` for one that reads peer b.

    Raises:
        ValueError: If terms are given for something that is no peer or not trained, or a trained
            peer has none, or there is none.

    Example:
        >>> from torch import nn
        >>> dml = Term(nn.MSELoss(), inputs={"input": "peer.logits", "target": "other.logits"})
        >>> found = objectives({"each": {"dml": dml}}, ["student", "b", "c"])
        >>> found["b"]["dml/c"].term.inputs, found["b"]["dml/c"].term.weight
        ({'input': 'b.logits', 'target': 'c.logits'}, 0.5)
    """
    check_known("losses", losses, (EACH, *names))
    for name in frozen:
        if name in losses:
            raise ValueError(f"losses has terms for {name!r}, of which nothing is trained")
    learners = [name for name in names if name not in frozen]
    if not learners:
        raise ValueError("trained_parts leaves nothing to train")
    found = {name: dict(_objective(losses, name, names)) for name in learners}
    for name, terms in found.items():
        if not terms:
            raise ValueError(f"losses must train every peer, has no term for {name!r}")
    return found


def read_source(key: str, names: Sequence[str]) -> Source:
    """Read a context key that names its network.

    Raises:
        ValueError: If it is none of the known forms, with the nearest one.

    Example:
        >>> read_source("b@layer3.relu:input", ["student", "b"])
        Source(head='b', mark='@', rest='layer3.relu:input')
    """
    source = _split(key)
    plain = [f"{name}.logits" for name in names]
    if key in plain or (source.head in names and source.mark == "@" and source.rest):
        return source
    if source.head == "batch":
        parse_key(key)
        return source
    forms = [*plain, *(f"{name}@PATH" for name in names), "batch.target", "batch.index"]
    known = ", ".join(["peer.logits", "other.logits", "peer@PATH", "other@PATH", *forms])
    raise ValueError(f"unknown source {key!r}{nearest(key, forms)}; known: {known}")


def _objective(
    losses: Mapping[str, Mapping[str, Term]], owner: str, names: Sequence[str]
) -> Iterator[tuple[str, PeerTerm]]:
    own, common = losses.get(owner, {}), losses.get(EACH, {})
    others = [name for name in names if name != owner]
    for name, term in (dict(common) | dict(own)).items():
        where = f"losses.{owner if name in own else EACH}.{name}"
        if not any(_split(key).head == OTHER for key in term.sources()):
            yield name, PeerTerm(where, _named(term, {OWN: owner}, 1))
            continue
        for other in others:
            named = _named(term, {OWN: owner, OTHER: other}, len(others))
            yield f"{name}/{other}", PeerTerm(where, named)


def _named(term: Term, names: Mapping[str, str], share: int) -> Term:
    def name(key: str) -> str:
        head, mark, rest = _split(key)
        return f"{names.get(head, head)}{mark}{rest}"

    inputs = {
        argument: name(keys) if isinstance(keys, str) else [name(key) for key in keys]
        for argument, keys in term.inputs.items()
    }
    loss = copy.deepcopy(term.loss)
    return replace(term, loss=loss, weight=term.weight / share, inputs=inputs)


def _split(key: str) -> Source:
    place = next((at for at, letter in enumerate(key) if letter in ".@"), len(key))
    return Source(key[:place], key[place : place + 1], key[place + 1 :])
