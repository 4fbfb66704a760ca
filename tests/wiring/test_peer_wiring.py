from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.losses import KDLoss
from distill.modules import PeerKL, Term
from distill.modules.peers import objectives
from distill.wiring.keys import Sources
from distill.wiring.term import PlacedTerm
from distill.wiring.wiring import Context, Wiring, reaches_others
from tests.fixtures.networks import tiny

DML: dict[str, str | list[str]] = {"student": "peer.logits", "teacher": "other.logits"}
PEER_KL: dict[str, str | list[str]] = {"peer": "peer.logits", "other": "other.logits"}
MAPS: dict[str, str | list[str]] = {"input": "peer@conv", "target": "other@conv"}


Wired = tuple[Wiring, dict[str, PlacedTerm], Context, dict[str, Tensor]]


def objective(term: Term, gradients: Any, **networks: nn.Module) -> tuple[Wiring, Any, Any]:
    """Peer b's terms, and all peers."""
    peers = {"student": tiny(8), "b": tiny(8)} | networks
    terms = objectives({"each": {"term": term}}, list(peers), gradients=gradients)
    own = {name: placed for name, placed in terms.items() if name.startswith("b/")}
    sources = Sources(tuple(peers), placeholders=("peer", "other"))
    return Wiring(own, peers, sources), own, peers


def wired(term: Term, gradients: Any = "constant", **networks: nn.Module) -> Wired:
    """Peer b's wiring with what a pass of all peers gave."""
    wiring, own, peers = objective(term, gradients, **networks)
    image = torch.rand(4, 1, 8, 8)
    batch = Batch(image, torch.arange(4), torch.arange(4), epoch=0)
    logits = {name: peer.eval()(image) for name, peer in peers.items()}
    return wiring, own, wiring.context(batch, logits), logits


def dry_run(term: Term) -> dict[str, tuple[int, ...]]:
    wiring, _, peers = objective(term, "constant")
    image = torch.rand(4, 1, 8, 8)
    batch = Batch(image, torch.arange(4), torch.arange(4), epoch=0)
    return wiring.dry_run(batch, {name: peer.eval()(image) for name, peer in peers.items()})


def gradients(value: Tensor, logits: dict[str, Tensor]) -> list[bool]:
    found = torch.autograd.grad(value, list(logits.values()), allow_unused=True)
    return [gradient is not None and bool(gradient.any()) for gradient in found]


@pytest.mark.parametrize("term", [Term(KDLoss(1.0), inputs=DML), Term(PeerKL(), inputs=PEER_KL)])
def test_the_others_are_constants_in_the_papers_convention(term: Term) -> None:
    wiring, _, context, logits = wired(term)
    assert gradients(wiring.evaluate(context)["b/term/student"], logits) == [False, True]


def test_joint_terms_pass_gradients_to_the_others() -> None:
    wiring, _, context, logits = wired(Term(PeerKL(), inputs=PEER_KL), "joint")
    assert gradients(wiring.evaluate(context)["b/term/student"], logits) == [True, True]


@pytest.mark.parametrize(
    ("term", "reaches"),
    [
        (Term(KDLoss(1.0), inputs=DML), False),
        (Term(PeerKL(), inputs=PEER_KL), True),
        (Term(nn.MSELoss(), inputs=MAPS), True),
        (Term(nn.MSELoss(), inputs={"input": "peer@fc", "target": "peer.logits"}), False),
    ],
)
def test_it_is_known_whether_a_loss_passes_gradients_on(term: Term, reaches: bool) -> None:
    wiring, terms, context, _ = wired(term, "joint")
    with torch.no_grad():
        assert reaches_others(wiring, terms, context) == reaches


def test_terms_get_the_tensors_that_they_name() -> None:
    inputs: dict[str, str | list[str]] = {"input": "peer@fc", "target": "c@fc"}
    wiring, _, context, logits = wired(Term(nn.MSELoss(), inputs=inputs), c=tiny(12))
    expected = (logits["b"] - logits["c"]).square().mean()
    assert torch.equal(wiring.evaluate(context)["b/term"], expected)


def test_shapes_are_told_by_the_names_of_the_recipe() -> None:
    inputs: dict[str, str | list[str]] = {"input": "peer@fc", "target": "student@fc"}
    shapes = dry_run(Term(nn.MSELoss(), inputs=inputs))
    assert shapes == {"b@fc": (4, 10), "student@fc": (4, 10)}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"student": "peer.logits", "teacher": "other@fcc"},
            r"inputs: student: no layer 'fcc' in TinyNet, did you mean 'fc'\?$",
        ),
        ({"student": "peer.logits"}, r"inputs: KDLoss needs its argument 'teacher'$"),
        (
            {"student": "peer.logits", "teacher": "c.logits"},
            r"inputs: unknown source 'c\.logits', did you mean .*known: peer\.logits",
        ),
    ],
)
def test_what_does_not_fit_is_named(inputs: dict[str, str | list[str]], message: str) -> None:
    with pytest.raises(RecipeError, match=r"^model\.losses\.each\.term\." + message) as caught:
        wired(Term(KDLoss(), inputs=inputs))
    assert len(str(caught.value).splitlines()) == 1


def test_a_term_that_cannot_take_its_inputs_tells_their_names_and_shapes() -> None:
    inputs: dict[str, str | list[str]] = {"student": "peer@conv", "teacher": "student@fc:input"}
    told = r"^model\.losses\.each\.term: b@conv \(4, 8, 4, 4\), student@fc:input \(4, 8\): "
    with pytest.raises(RecipeError, match=told):
        dry_run(Term(KDLoss(), inputs=inputs))


def test_removed_wiring_captures_nothing() -> None:
    networks = {"student": tiny(8), "b": tiny(8)}
    terms = objectives({"each": {"maps": Term(nn.MSELoss(), inputs=MAPS)}}, list(networks))
    wiring = Wiring(terms, networks)
    assert all(network.conv._forward_hooks for network in networks.values())  # type: ignore[union-attr]
    wiring.clear()
    wiring.remove()
    hooks = [module._forward_hooks for net in networks.values() for module in net.modules()]
    assert not any(hooks)
