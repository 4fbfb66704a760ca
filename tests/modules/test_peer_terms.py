import pytest
import torch
from torch import nn

from distill.losses import HintLoss, KDLoss
from distill.modules import Term
from distill.modules.peer_terms import check_names, objectives, read_source

CE = Term(nn.CrossEntropyLoss(), inputs={"input": "peer.logits", "target": "batch.target"})
DML = Term(KDLoss(1.0), weight=0.5, inputs={"student": "peer.logits", "teacher": "other.logits"})
NAMES = ["student", "b", "c"]


def test_every_peer_gets_the_terms_of_each_by_name() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, NAMES)
    inputs = {
        peer: {name: term.term.inputs for name, term in terms.items()}
        for peer, terms in found.items()
    }
    assert inputs["b"] == {
        "ce": {"input": "b.logits", "target": "batch.target"},
        "dml/student": {"student": "b.logits", "teacher": "student.logits"},
        "dml/c": {"student": "b.logits", "teacher": "c.logits"},
    }
    assert list(inputs) == NAMES
    assert list(inputs["c"]) == ["ce", "dml/student", "dml/b"]


def test_others_share_the_weight() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, NAMES)
    weights = {name: term.term.weight for name, term in found["student"].items()}
    assert weights == {"ce": 1.0, "dml/b": 0.25, "dml/c": 0.25}


def test_a_peer_alone_has_no_term_with_others() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, ["student"])
    assert list(found["student"]) == ["ce"]


def test_a_peer_may_have_its_own_form_of_a_term() -> None:
    own = Term(nn.CrossEntropyLoss(), weight=3.0, inputs=CE.inputs)
    found = objectives({"each": {"ce": CE}, "b": {"ce": own}}, NAMES)
    assert {peer: terms["ce"].term.weight for peer, terms in found.items()} == {
        "student": 1.0,
        "b": 3.0,
        "c": 1.0,
    }
    assert {peer: terms["ce"].where for peer, terms in found.items()} == {
        "student": "losses.each.ce",
        "b": "losses.b.ce",
        "c": "losses.each.ce",
    }


def test_lists_and_paths_are_named_too() -> None:
    inputs: dict[str, str | list[str]] = {"maps": ["peer@a.b:input", "other@c", "c@d"]}
    found = objectives({"each": {"maps": Term(nn.Identity(), inputs=inputs)}}, ["student", "c"])
    (term,) = found["student"].values()
    assert term.term.inputs == {"maps": ["student@a.b:input", "c@c", "c@d"]}


def test_trained_parts_of_losses_are_copied_not_shared() -> None:
    hint = Term(HintLoss(4, 4), inputs={"student": "peer@x", "teacher": "other@x"})
    found = objectives({"each": {"hint": hint}}, ["student", "b"])
    first, second = found["student"]["hint/b"].term.loss, found["b"]["hint/student"].term.loss
    assert isinstance(first, HintLoss)
    assert isinstance(second, HintLoss)
    one, two = first.projector[0].weight, second.projector[0].weight
    assert torch.equal(one, two)
    assert one.data_ptr() != two.data_ptr()


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"each": {"ce": CE}, "bb": {}}, r"^losses has no peer 'bb', did you mean 'b'\?; known: "),
        ({"student": {"ce": CE}, "b": {"ce": CE}}, r"^losses must train every peer.* for 'c'$"),
    ],
)
def test_terms_belong_to_a_peer_and_every_peer_has_some(
    losses: dict[str, dict[str, Term]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        objectives(losses, NAMES)


@pytest.mark.parametrize("name", ["each", "peer", "other", "batch", "student", "teacher", "a@b"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^peers must have plain names.*got '{name}'$"):
        check_names(["b", name])


@pytest.mark.parametrize("key", ["b.logit", "d.logits", "b@", "batch.targets", "logits", "b", ""])
def test_unknown_sources_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=rf"^unknown source '{key}'"):
        read_source(key, NAMES)


def test_the_nearest_source_is_named() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'student.logits'\?; known: peer\.logits"):
        read_source("studnet.logits", NAMES)
