"""How much an operation of a supernet matters: what its loss is without it (arXiv 2108.04392)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.core.batch import Batch
from distill.core.outputs import logits_of
from distill.modules import DifferentiableSearch
from distill.modules.supernet import NONE, Mixture, softmax
from distill.modules.teacher import frozen_running_stats


@torch.no_grad()
def perturbed(module: DifferentiableSearch, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """By how much the loss grows without an operation, by kind (edges, ops); 0 for ``none``.

    The weights of the edge's other operations grow to the sum of 1. Batch norms use the statistics
    of the batch: the running ones are those of the whole mixture.

    Args:
        module: Its normalisations set up.
        batches: Images as they are.
    """
    supernet, taught = module.supernet, module.teacher is not None
    targets = [(one, _said(module, "teacher", one) if taught else None) for one in batches]
    mixture = softmax(supernet)
    module.student.train()
    with frozen_running_stats(module.student):
        whole = _loss(module, targets, mixture)
        found = {kind: torch.zeros_like(weights) for kind, weights in mixture.items()}
        for kind, strengths in found.items():
            for edge in range(len(strengths)):
                for k, op in enumerate(supernet.ops):
                    if op != NONE:
                        without = {**mixture, kind: _without(mixture[kind], edge, k)}
                        strengths[edge, k] = _loss(module, targets, without) - whole
    module.student.eval()
    return found


def _without(weights: Tensor, edge: int, k: int) -> Tensor:
    left = weights.clone()
    left[edge, k] = 0
    left[edge] /= left[edge].sum()
    return left


def _loss(
    module: DifferentiableSearch, targets: list[tuple[Batch, Tensor | None]], mixture: Mixture
) -> float:
    """The mean over images: the divergence from the teacher, or else that of the labels."""
    total, count = 0.0, 0
    with module.supernet.mixed(mixture):
        for batch, teacher in targets:
            said = _said(module, "student", batch).log_softmax(1)
            if teacher is None:
                total += float(F.nll_loss(said, batch.target, reduction="sum"))
            else:
                wanted = teacher.log_softmax(1)
                total += float(F.kl_div(said, wanted, reduction="sum", log_target=True))
            count += len(batch.image)
    return total / count


def _said(module: DifferentiableSearch, network: str, batch: Batch) -> Tensor:
    return logits_of(module.networks.outputs(network, batch.image)).double()
