"""A supernet of one cell against a loop with the mixtures made by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distill.modules import DifferentiableSearch
from distill.search.perturbation import perturbed
from students import MixedCells
from tests.fixtures.modules import CE, digits, tensors
from tests.fixtures.networks import plain

OPS = ["none", "skip", "pool3", "conv3"]


def module(teacher: nn.Module | None) -> tuple[DifferentiableSearch, list[Any]]:
    torch.manual_seed(0)
    supernet = MixedCells(10, 1, cells=1, width=4, nodes=1, reduce_at=[], ops=OPS)
    with torch.no_grad():
        supernet.alphas["normal"].copy_(torch.randn(2, 4))
    made = DifferentiableSearch(teacher, supernet, {"ce": CE})
    data = digits()
    data.setup("fit")
    made.networks.set_up(data)
    return made, list(data.val_dataloader())[:2]


@pytest.mark.parametrize("taught", [True, False])
def test_strengths_are_those_of_a_loop(taught: bool) -> None:
    made, batches = module(plain() if taught else None)
    before = tensors(made)
    found = perturbed(made, batches)["normal"]
    after = tensors(made)
    assert all(torch.equal(before[name], after[name]) for name in before)
    weights = made.supernet.alphas["normal"].detach().softmax(1)

    def loss(mixture: torch.Tensor) -> float:
        """Batch norms by the batch; in numpy from the logits on."""
        total, count = 0.0, 0
        made.student.train()
        with torch.no_grad(), made.supernet.mixed({"normal": mixture}):
            for batch in batches:
                z = made.networks.outputs("student", batch.image).double().numpy()
                log_q = z - np.log(np.exp(z).sum(1, keepdims=True))
                if taught:
                    t = made.networks.outputs("teacher", batch.image).double().numpy()
                    log_p = t - np.log(np.exp(t).sum(1, keepdims=True))
                    total += (np.exp(log_p) * (log_p - log_q)).sum()
                else:
                    total -= log_q[np.arange(len(z)), batch.target.numpy()].sum()
                count += len(z)
        return total / count

    whole = loss(weights)
    for edge in range(2):
        assert found[edge, 0] == 0
        for k in (1, 2, 3):
            left = weights.clone()
            left[edge, k] = 0
            left[edge] = left[edge] / left[edge].sum()
            assert found[edge, k].item() == pytest.approx(loss(left) - whole, abs=1e-5)
