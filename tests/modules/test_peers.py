from typing import Any

import pytest
import torch
from torch import nn

from distill.losses import HintLoss, KDLoss
from distill.modules import Term
from distill.modules.peers import check_names, objectives

CE = Term(nn.CrossEntropyLoss(), inputs={"input": "peer.logits", "target": "batch.target"})
DML = Term(KDLoss(1.0), weight=0.5, inputs={"student": "peer.logits", "teacher": "other.logits"})
NAMES = ["student", "b", "c"]


def test_every_peer_gets_the_terms_of_each_by_name() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, NAMES)
    of_b = {name: term.term.inputs for name, term in found.items() if name.startswith("b/")}
    assert of_b == {
        "b/ce": {"input": "b.logits", "target": "batch.target"},
        "b/dml/student": {"student": "b.logits", "teacher": "student.logits"},
        "b/dml/c": {"student": "b.logits", "teacher": "c.logits"},
    }
    assert list(dict.fromkeys(name.split("/")[0] for name in found)) == NAMES
    assert [name for name in found if name[0] == "c"] == ["c/ce", "c/dml/student", "c/dml/b"]


@pytest.mark.parametrize(("gradients", "trains"), [("constant", "b"), ("joint", None)])
def test_what_others_gave_is_constant_unless_joint(gradients: Any, trains: str | None) -> None:
    found = objectives({"each": {"dml": DML}}, NAMES, gradients=gradients)
    assert found["b/dml/c"].trains == trains


def test_others_share_the_weight() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, NAMES)
    weights = {name: found[f"student/{name}"].term.weight for name in ("ce", "dml/b", "dml/c")}
    assert weights == {"ce": 1.0, "dml/b": 0.25, "dml/c": 0.25}


def test_a_peer_alone_has_no_term_with_others() -> None:
    found = objectives({"each": {"ce": CE, "dml": DML}}, ["student"])
    assert list(found) == ["student/ce"]


def test_a_peer_may_have_its_own_form_of_a_term() -> None:
    own = Term(nn.CrossEntropyLoss(), weight=3.0, inputs=CE.inputs)
    found = objectives({"each": {"ce": CE}, "b": {"ce": own}}, NAMES)
    assert [found[f"{peer}/ce"].term.weight for peer in NAMES] == [1.0, 3.0, 1.0]
    each, of_b = "model.losses.each.ce", "model.losses.b.ce"
    assert [found[f"{peer}/ce"].where for peer in NAMES] == [each, of_b, each]


def test_lists_and_paths_are_named_too() -> None:
    inputs: dict[str, str | list[str]] = {"maps": ["peer@a.b:input", "other@c", "c@d"]}
    found = objectives({"each": {"maps": Term(nn.Identity(), inputs=inputs)}}, ["student", "c"])
    term = found["student/maps/c"]
    assert term.term.inputs == {"maps": ["student@a.b:input", "c@c", "c@d"]}


def test_trained_parts_of_losses_are_copied_not_shared() -> None:
    hint = Term(HintLoss(4, 4), inputs={"student": "peer@x", "teacher": "other@x"})
    found = objectives({"each": {"hint": hint}}, ["student", "b"])
    first, second = found["student/hint/b"].term.loss, found["b/hint/student"].term.loss
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
