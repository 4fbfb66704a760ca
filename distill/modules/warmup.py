"""A learning-rate schedule that begins small: Goyal et al., 2017, arXiv 1706.02677."""

from pytorch_lightning.cli import LRSchedulerCallable
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR, SequentialLR


class Warmup(SequentialLR):
    """Raises the rate linearly, then follows another schedule, which starts counting there.

    Args:
        optimizer: Given by the module.
        length: Epochs (or steps, as ``scheduler_interval`` says) until the full rate; at least 1.
        then: Makes the schedule that follows, from the optimizer.
        start: Share of the rate to begin with; above 0, at most 1.

    Raises:
        ValueError: If an argument is out of range, or the other schedule watches a metric or
            is made of several.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = Warmup(optimizer, 2, lambda o: LinearLR(o, 1.0, 0.5, total_iters=2), 0.5)
        >>> rates = []
        >>> for _ in range(5):
        ...     rates.append(schedule.get_last_lr()[0])
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.5, 0.75, 1.0, 0.75, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, length: int, then: LRSchedulerCallable, start: float = 0.1
    ) -> None:
        if not isinstance(length, int):
            raise ValueError(f"length must be a whole number, got {length}")
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        if not 0 < start <= 1:
            raise ValueError(f"start must be above 0 and at most 1, got {start}")
        warmup = LinearLR(optimizer, start_factor=start, total_iters=length)
        following = then(optimizer)
        if isinstance(following, (SequentialLR, ChainedScheduler)):
            raise ValueError(f"then must be a single schedule, got {type(following).__name__}")
        super().__init__(optimizer, [warmup, following], milestones=[length])
