import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console

from distill import runs
from distill.losses import KDLoss
from distill.modules import Distillation, MutualLearning, Term
from tests.fixtures.modules import digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.peers import ALONE, CE, DML, recipe
from tests.fixtures.runs import assert_same, final_state, resume_from

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*in eval mode.*"
)


def kd(teacher: str) -> Term:
    return Term(KDLoss(), inputs={"student": "student.logits", "teacher": f"{teacher}.logits"})


def test_a_frozen_peer_teaches_as_a_teacher_does() -> None:
    """Bitwise, and it is bitwise what it was."""
    teacher, student = tiny(12), tiny(8)
    before = tensors(teacher)
    plain = Distillation(
        copy.deepcopy(teacher), copy.deepcopy(student), {"ce": ALONE, "kd": kd("teacher")}
    )
    trainer().fit(plain, digits())
    losses = {"student": {"ce": ALONE, "kd": kd("big")}}
    module = MutualLearning(student, {"big": teacher}, losses, trained_parts={"big": []})
    trainer().fit(module, digits())
    assert_same(tensors(plain.student), tensors(module.student), "student")
    assert_same(before, tensors(teacher), "teacher")


def test_peers_learn_from_each_other_beside_a_teacher() -> None:
    """Terms under ``each`` are those of the peers that learn; the teacher is one of the others."""
    each = {"each": {"ce": CE, "dml": DML}}
    peers = {"b": tiny(8), "big": tiny(12)}
    module = MutualLearning(tiny(8), peers, each, trained_parts={"big": []})
    found = {"student/ce", "student/dml/b", "student/dml/big", "b/ce", "b/dml/student", "b/dml/big"}
    assert set(module.objective.terms) == found


class Modes(pl.Callback):
    """Notes which modules of a peer are in training mode at a step."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        modules = pl_module.peers["b"].named_modules()
        self.training = {name for name, module in modules if module.training}


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
def test_only_the_named_parts_are_trained(updates: Any) -> None:
    b, modes = tiny(8), Modes()
    before = tensors(b)
    parts = {"b": ["bn", "fc"]}
    module = MutualLearning(
        tiny(8), {"b": b}, {"each": {"ce": CE, "dml": DML}}, updates, trained_parts=parts
    )
    # The second epoch follows a validation, which switches modes.
    trainer(max_epochs=2, callbacks=[modes]).fit(module, digits())
    changed = {name for name, value in tensors(b).items() if not torch.equal(value, before[name])}
    assert changed == {
        *("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"),
        *("fc.weight", "fc.bias"),
    }
    assert modes.training == {"bn", "fc"}
    optimized = sum(p.numel() for p in module.parameters() if p.requires_grad)
    part = sum(p.numel() for p in (*b.bn.parameters(), *b.fc.parameters()))  # type: ignore[union-attr]
    assert optimized == part + sum(p.numel() for p in module.student.parameters())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"c": []}, r"^trained_parts has no peer 'c'; known: student, b$"),
        ({"b": ["fcc"]}, r"^trained_parts\.b has no layer 'fcc', did you mean 'fc'\?$"),
        ({"b": ["relu"]}, r"^trained_parts\.b: 'relu' has no parameters$"),
        ({"b": [], "student": []}, r"^trained_parts leaves nothing to train$"),
    ],
)
def test_parts_that_cannot_be_trained_are_refused(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MutualLearning(tiny(8), {"b": tiny(8)}, {"each": {"ce": CE}}, trained_parts=parts)


def test_terms_for_what_is_not_trained_are_refused() -> None:
    losses = {"each": {"ce": CE}, "b": {"ce": CE}}
    with pytest.raises(ValueError, match=r"^losses has terms for 'b', of which nothing is trained"):
        MutualLearning(tiny(8), {"b": tiny(8)}, losses, trained_parts={"b": []})


def test_a_run_of_parts_resumes_bitwise(tmp_path: Path) -> None:
    def tree(keep: Path | None = None) -> dict[str, Any]:
        made = recipe("simultaneous", keep)
        network = {"class_path": "tests.fixtures.networks.tiny", "init_args": {"width": 8}}
        made["model"]["init_args"] |= {"trained_parts": {"b": ["fc"], "c": []}}
        made["model"]["init_args"]["peers"] = {"b": network, "c": network}
        return made

    whole = tmp_path / "whole"
    runs.fit(tree(whole / "kept"), whole, trusted=("tests",), console=Console(quiet=True))
    resume_from(4, whole / "kept", tmp_path / "again", tree())
    assert_same(final_state(whole), final_state(tmp_path / "again"), "step 4")


def test_networks_that_are_not_named_are_as_they_were() -> None:
    network = tiny(8)
    MutualLearning(network, {"b": tiny(8)}, {"each": {"ce": CE}}, trained_parts={"b": ["fc"]})
    assert all(parameter.requires_grad for parameter in network.parameters())
