"""Several networks as one teacher."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from teachers.members import common_normalization, normalized, own_normalizations


class Ensemble(nn.Module):
    """Combines the predictions of several networks, as logits.

    Where all members that carry an ``input_normalization`` carry the same, the ensemble carries it
    too, and images are normalised once. Where they differ, the ensemble takes images in 0..1 and
    every member normalises its own. A member's layers are tapped as ``teacher@members.0.PATH``, its
    logits as ``teacher@members.0``, so a term may also learn from one of them alone.

    Args:
        members: Networks with equal classes.
        weights: One per member, positive, of any sum; None weighs all alike.
        combine: ``mean``: the logarithm of the weighted mean of the members' ``softmax``, so the
            output's ``softmax`` is that mean; ``most_confident``: for each image, the logarithm of
            the ``softmax`` of the member whose weight times largest probability is largest, the
            first of equal ones.

    Raises:
        ValueError: If there are no members, weights do not fit, the combination is unknown, or
            normalisations differ and a member carries none or one of other channels.

    Example:
        >>> pair = Ensemble([nn.Linear(3, 2), nn.Linear(3, 2)])
        >>> pair(torch.zeros(4, 3)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        combine: Literal["mean", "most_confident"] = "mean",
    ) -> None:
        super().__init__()
        self._own = own_normalizations(members)
        weights = [1.0] * len(members) if weights is None else weights
        if len(weights) != len(members):
            raise ValueError(f"weights must be {len(members)}, one per member, got {weights}")
        if not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise ValueError(f"weights must be positive and finite, got {weights}")
        if combine not in ("mean", "most_confident"):
            raise ValueError(f"combine must be mean or most_confident, got {combine!r}")
        carried = common_normalization(members, self._own)
        if carried is not None:
            self.input_normalization = carried
        self.members = nn.ModuleList(members)
        self.combine = combine
        self._log_weights = [math.log(weight / math.fsum(weights)) for weight in weights]

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w), in at least float32.

        Raises:
            ValueError: If the members' logits differ in shape or are not of shape (b, k).
        """
        logits = [
            member(image if own is None else normalized(image, own))
            for member, own in zip(self.members, self._own, strict=True)
        ]
        shapes = [tuple(each.shape) for each in logits]
        if len(set(shapes)) > 1 or len(shapes[0]) != 2:
            found = " and ".join(str(shape) for shape in dict.fromkeys(shapes))
            raise ValueError(f"members must give logits of one shape (b, k), got {found}")
        predicted = torch.stack([torch.log_softmax(_at_least_float32(z), dim=1) for z in logits])
        log_weights = predicted.new_tensor(self._log_weights).view(-1, 1, 1)
        if self.combine == "mean":
            return torch.logsumexp(predicted + log_weights, dim=0)
        best = (predicted + log_weights).amax(dim=2).argmax(dim=0)
        return predicted[best, torch.arange(len(best), device=best.device)]


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
