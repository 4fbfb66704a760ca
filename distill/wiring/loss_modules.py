"""The loss modules of an objective, in the precision that losses promise."""

from collections.abc import Callable

from torch import Tensor, nn


class LossModules(nn.ModuleDict):
    """Loss modules by name, which stay in float32 where networks are cast to less.

    Losses compute in float32 or better whatever they are given, so with ``trainer.precision:
    bf16-true`` their connectors, memories and running sums must not be cast along.

    Example:
        >>> LossModules({"hint": nn.Linear(2, 2)}).bfloat16()["hint"].weight.dtype
        torch.float32
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LossModules":
        def spared(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            shortened = moved.itemsize < min(4, tensor.itemsize)
            return tensor.to(moved.device) if shortened else moved

        return super()._apply(spared, recurse)  # type: ignore[no-any-return, no-untyped-call]
