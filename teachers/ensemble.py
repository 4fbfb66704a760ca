"""Several networks as one teacher."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The weighted mean of several networks' predicted distributions, as logits.

    The output is the logarithm of the weighted mean of the members' ``softmax``, so its own
    ``softmax`` is that mean. All members see the same image, normalised once: those that carry an
    ``input_normalization`` must carry the same, which the ensemble then carries too. Their layers
    are tapped as ``teacher@members.0.PATH``.

    Args:
        members: Networks with equal classes.
        weights: One per member, positive, of any sum; None weighs all alike.

    Raises:
        ValueError: If there are no members, weights do not fit, or normalisations differ.

    Example:
        >>> pair = Ensemble([nn.Linear(3, 2), nn.Linear(3, 2)])
        >>> pair(torch.zeros(4, 3)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self, members: Sequence[nn.Module], weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if not members:
            raise ValueError("members must name at least one network, got none")
        weights = [1.0] * len(members) if weights is None else weights
        if len(weights) != len(members):
            raise ValueError(f"weights must be {len(members)}, one per member, got {weights}")
        if not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise ValueError(f"weights must be positive and finite, got {weights}")
        carried = [getattr(member, "input_normalization", None) for member in members]
        found = {normalization for normalization in carried if normalization is not None}
        if len(found) > 1:
            told = " and ".join(str(normalization) for normalization in sorted(found))
            raise ValueError(f"members must share one input_normalization, got {told}")
        if found:
            self.input_normalization: tuple[tuple[float, ...], tuple[float, ...]] = found.pop()
        self.members = nn.ModuleList(members)
        self._log_weights = [math.log(weight / math.fsum(weights)) for weight in weights]

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w), in at least float32.

        Raises:
            ValueError: If the members' logits differ in shape or are not of shape (b, k).
        """
        logits = [member(image) for member in self.members]
        shapes = [tuple(each.shape) for each in logits]
        if len(set(shapes)) > 1 or len(shapes[0]) != 2:
            told = " and ".join(str(shape) for shape in dict.fromkeys(shapes))
            raise ValueError(f"members must give logits of one shape (b, k), got {told}")
        weighted = [
            torch.log_softmax(_at_least_float32(each), dim=1) + log_weight
            for each, log_weight in zip(logits, self._log_weights, strict=True)
        ]
        return torch.logsumexp(torch.stack(weighted), dim=0)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
