"""Policies that draw each image's operations: AutoAugment, RandAugment, TrivialAugment."""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import transforms

from distill.augment.checks import check_number, check_whole
from distill.augment.operations import AUTO, OPERATIONS, WIDE, operate
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform

_FULL = 30
_STEPS = 10
_RANDOM = [OPERATIONS.index(name) for name in OPERATIONS if name != "Invert"]


class RandAugment(nn.Module):
    """Applies operations of one strength, drawn from fourteen (Cubuk et al., arXiv 1909.13719).

    Args:
        operations: Operations per image, in 1..14.
        magnitude: Their strength, in 0..30.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, operations: int = 2, magnitude: float = 9) -> None:
        super().__init__()
        check_whole("operations", operations, 1, len(_RANDOM))
        check_number("magnitude", magnitude, 0, _FULL)
        self.operations, self.magnitude = operations, magnitude

    def forward(self, batch: Batch, key: int) -> Batch:
        """Apply its own operations to every image of a batch."""
        for place in range(self.operations):
            draws = uniform(fold(key, place), batch.index, 2)
            strength = _signed(draws[:, 1], self.magnitude / _FULL)
            batch = operate(batch, _drawn(draws[:, 0]), strength, AUTO)
        return batch


class TrivialAugment(nn.Module):
    """Applies one operation of any strength (Müller and Hutter, ICCV 2021, arXiv 2103.10158).

    With the paper's wide space of strengths. There is nothing to tune, so there are no arguments.
    """

    def forward(self, batch: Batch, key: int) -> Batch:
        """Apply its own operation to every image of a batch."""
        draws = uniform(key, batch.index, 3)
        step = (draws[:, 2] * (_FULL + 1)).floor()
        return operate(batch, _drawn(draws[:, 0]), _signed(draws[:, 1], step / _FULL), WIDE)


class AutoAugment(nn.Module):
    """Applies one of 25 learned pairs of operations (Cubuk et al., CVPR 2019, arXiv 1805.09501).

    Args:
        policy: The data set that the pairs were learned on.

    Raises:
        ValueError: If there is no such policy.
    """

    def __init__(self, policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet") -> None:
        super().__init__()
        known = [value.value for value in transforms.AutoAugmentPolicy]
        if policy not in known:
            raise ValueError(f"policy must be one of {', '.join(known)}, got {policy}")
        pairs = transforms.AutoAugment(transforms.AutoAugmentPolicy(policy)).policies
        # (25, 2, 3): which operation, its probability, its strength
        self._pairs = torch.tensor([[_numbers(*operation) for operation in pair] for pair in pairs])

    def forward(self, batch: Batch, key: int) -> Batch:
        """Apply its own pair of operations to every image of a batch."""
        samples = batch.index
        which = (uniform(fold(key, "pair"), samples)[:, 0] * len(self._pairs)).long()
        for place, pair in enumerate(self._pairs.to(samples.device)[which].unbind(1)):
            draws = uniform(fold(key, place), samples, 2)
            operation = torch.where(draws[:, 0] < pair[:, 1], pair[:, 0], 0).long()
            batch = operate(batch, operation, _signed(draws[:, 1], pair[:, 2]), AUTO)
        return batch


def _numbers(operation: str, probability: float, step: int | None) -> tuple[float, float, float]:
    return OPERATIONS.index(operation), probability, (step or 0) / (_STEPS - 1)


def _drawn(draws: Tensor) -> Tensor:
    table = torch.tensor(_RANDOM, device=draws.device)
    return table[(draws * len(_RANDOM)).long()]


def _signed(draws: Tensor, strength: Tensor | float) -> Tensor:
    """Give the strength (b,) a sign, either with equal probability."""
    return torch.where(draws < 0.5, -1.0, 1.0) * strength
