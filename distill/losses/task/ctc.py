"""Connectionist temporal classification: Graves et al., ICML 2006, doi 10.1145/1143844.1143891.

For a network that predicts one class at every step along a text line, and a label without the
places of the characters. The sum over alignments is that of torch, which divides each line's loss
by its length in its own mean; here, as in the code of PP-OCRv2, a line counts whole.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from distill.losses.checks import at_least_float32
from distill.losses.task.targets import labeled_mask


def ctc_loss(input: Tensor, target: Tensor) -> Tensor:
    """Minus the log-probability of a line: of all paths over the steps that spell it, together.

    A path names a class at every step; of a run of one class one is kept, then blanks are dropped.
    A line needs a step for each character and one more between two that are equal.

    Args:
        input: Logits (b, t, k), class 0 the blank.
        target: Class numbers of the characters, 1..k-1 (b, l), with 0 behind the last of a shorter
            line; a line may be empty.

    Returns:
        The mean over the lines, in nats; 0 with a gradient of 0 if there is none. The sum over
        paths is taken in float64: the gradient is right to 1 % for logits of up to 1e12.

    Raises:
        ValueError: If the shapes do not belong together, a class number is out of range or behind a
            0, or a line needs more than t steps. Numbers are checked on the CPU only; elsewhere
            a line that needs more steps has the loss that it has by definition, infinity. (torch
            reads the lengths on the host, so an accelerator waits for that.)

    Example:
        >>> even = torch.zeros(1, 2, 2)  # three of the four paths spell "a": aa, a-, -a
        >>> f"{ctc_loss(even, torch.tensor([[1]])):.4f}"
        '0.2877'
    """
    if input.ndim != 3 or target.ndim != 2 or 0 in input.shape[1:]:
        found = f"{tuple(input.shape)} and {tuple(target.shape)}"
        raise ValueError(f"input and target need (b, t, k) and (b, l), t and k >= 1, got {found}")
    lengths = _lengths(target, len(input), *input.shape[1:])
    if len(input) == 0:
        return at_least_float32(input).sum()
    log_p = rearrange(F.log_softmax(at_least_float32(input), dim=2), "b t k -> t b k")
    # torch's gradient is the exponential of a difference of sums over the steps: in float32 it is
    # wrong where these exceed 1e6, and NaN above 1e8.
    exact = log_p if log_p.device.type == "mps" else log_p.double()
    steps = torch.full_like(lengths, input.shape[1])
    return F.ctc_loss(exact, target, steps, lengths, reduction="none").mean().to(log_p.dtype)


class CTCLoss(nn.Module):
    """Module form of :func:`ctc_loss`, for recipes.

    Example:
        >>> logits, lines = torch.zeros(2, 4, 3), torch.tensor([[1, 2], [1, 0]])  # "ab" and "a"
        >>> CTCLoss()(logits, lines)  # 15 and 10 of 81 paths
        tensor(1.8891)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`ctc_loss`."""
        return ctc_loss(input, target)


def _lengths(target: Tensor, batch: int, steps: int, n_classes: int) -> Tensor:
    """Count the characters of each line (b,)."""
    known = labeled_mask(target, (batch, target.shape[1]), n_classes) & (target != 0)
    lengths = known.sum(1)
    if target.device.type != "cpu":
        return lengths
    if (known[:, 1:] & ~known[:, :-1]).any():
        raise ValueError("target needs 0 behind the last character of a line only, got one before")
    repeats = (known[:, 1:] & (target[:, 1:] == target[:, :-1])).sum(1)
    if batch and (longest := int((lengths + repeats).max())) > steps:
        raise ValueError(
            f"target needs lines that fit into {steps} steps, got one that takes {longest}"
        )
    return lengths
