"""How much a channel matters: one number per channel of a group that is cut together."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.core.randomness import fold, uniform

CRITERIA = ("l1", "l2", "bn", "fpgm", "random")


@dataclass(frozen=True)
class Group:
    """Channels that several tensors share.

    Attributes:
        name: The layer that the group begins with.
        width: Channels.
        places: By tensor and axis, which entries are whose: (entry, channel) (n, 2).
        scales: The tensors that are scales of batch norms.
    """

    name: str
    width: int
    places: Mapping[tuple[str, int], Tensor]
    scales: frozenset[str]


def importance(group: Group, tensors: Mapping[str, Tensor], criterion: str) -> Tensor:
    """Rate the channels of a group (c,), in float64, divided by their mean.

    ``l1`` and ``l2`` sum the weights' absolute values and squares, of all layers that make or read
    the channel. ``bn`` sums the batch norms' scales (arXiv 1708.06519), ``fpgm`` the distances from
    a filter to all others (1811.00250), ``random`` is the keyed control.

    Raises:
        ValueError: If a group has no batch norm to be rated by.
    """
    if criterion == "random":
        found = uniform(fold("pruned", group.name), torch.arange(group.width)).view(-1).double()
        return found / found.mean()
    total = torch.zeros(group.width, dtype=torch.float64)
    for (name, axis), pairs in group.places.items():
        tensor = tensors[name].detach().double()
        entries = tensor.movedim(axis, 0)[pairs[:, 0]].flatten(1) if tensor.ndim > 1 else None
        if criterion == "bn" and name in group.scales:
            total.index_add_(0, pairs[:, 1], tensor[pairs[:, 0]].abs())
        elif criterion in ("l1", "l2") and entries is not None:
            power = int(criterion[1])
            total.index_add_(0, pairs[:, 1], entries.abs().pow(power).sum(1))
        elif criterion == "fpgm" and entries is not None and axis == 0:
            exact = "donot_use_mm_for_euclid_dist"
            total.index_add_(
                0, pairs[:, 1], torch.cdist(entries, entries, compute_mode=exact).sum(1)
            )
    if criterion == "bn" and not group.scales:
        raise ValueError(f"criterion bn: no batch norm scales the channels of {group.name}")
    return total / total.mean().clamp_min(1e-30)
