"""Margins come from a batch norm that a term reads the output of, not from what enters it."""

import pytest
import torch
from torch import nn

from distill.losses import OverhaulLoss, overhaul_margin
from distill.modules import Term
from distill.wiring.batch_norms import read_batch_norms
from tests.fixtures.networks import tiny


@pytest.mark.parametrize(("source", "told"), [("teacher@bn", True), ("teacher@bn:input", False)])
def test_what_enters_a_batch_norm_does_not_come_out_of_it(source: str, told: bool) -> None:
    loss, teacher = OverhaulLoss(8, 12), tiny(12).eval()
    nn.init.normal_(teacher.bn.bias)
    term = Term(loss, inputs={"student": "student@bn", "teacher": source})
    read_batch_norms([term], {"student": tiny(8).eval(), "teacher": teacher})
    expected = overhaul_margin(teacher.bn.bias, teacher.bn.weight.abs()).detach()
    assert torch.equal(loss.margin.flatten(), expected if told else 0 * expected)
