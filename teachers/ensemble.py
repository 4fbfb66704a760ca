"""Several networks as one teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The weighted mean of several networks' predicted distributions, as logits.

    ``softmax`` of the output is the mean of the members' ``softmax``. All members see the same
    normalised image. Their layers can be tapped as ``teacher@members.0.PATH``.

    Args:
        members: Networks with equal classes; those that carry an ``input_normalization`` must
            carry the same.
        weights: One per member, positive; None weighs all alike.

    Raises:
        ValueError: If there are no members, weights do not fit, or normalisations differ.

    Example:
        >>> pair = Ensemble([nn.Linear(3, 2), nn.Linear(3, 2)])
        >>> pair(torch.zeros(4, 3)).shape
        torch.Size([4, 2])
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = weights or [1.0] * len(members)
        if not members or len(weights) != len(members) or min(weights) <= 0:
            raise ValueError(f"weights must be positive, one per member, got {weights}")
        found = {getattr(member, "input_normalization", None) for member in members} - {None}
        if len(found) > 1:
            raise ValueError(f"members must share one input normalisation, got {found}")
        if found:
            self.input_normalization = found.pop()
        self.members = nn.ModuleList(members)
        self.register_buffer("log_weights", torch.tensor(weights).log())

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        logits = [member(image) for member in self.members]
        shapes = {tuple(each.shape) for each in logits}
        if len(shapes) > 1:
            raise ValueError(f"members must give logits of one shape, got {sorted(shapes)}")
        log_weights = torch.log_softmax(self.get_buffer("log_weights"), 0)
        log_probabilities = torch.log_softmax(torch.stack(logits).float(), dim=-1)
        return torch.logsumexp(log_probabilities + log_weights.view(-1, 1, 1), dim=0)
