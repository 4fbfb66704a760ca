"""Maps from tokens, so that losses of feature maps work with transformers.

A vision transformer (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929) cuts an image into patches,
row by row, and gives one token for each, behind prefix tokens that stand for no place (class,
distillation). Without those, tokens are a map of the grid of patches. Hierarchical transformers
such as Swin (arXiv 2103.14030) keep the grid but have the channels last.
"""

import math
from typing import Literal

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from distill.losses.checks import at_least_float32

Layout = Literal["maps", "tokens", "channels_last"]
_FORMS = {"maps": "(b, c, h, w)", "tokens": "(b, n, c)", "channels_last": "(b, h, w, c)"}


def to_map(
    features: Tensor,
    layout: Layout,
    prefix_tokens: int = 0,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Rearrange features to maps (b, c, h, w).

    Args:
        features: Maps (b, c, h, w), tokens (b, n, c) or channels-last maps (b, h, w, c).
        layout: Layout of the features, one of the three.
        prefix_tokens: Leading tokens to drop, those of no place.
        size: Height and width of the grid of the other tokens; None where it is square.

    Raises:
        ValueError: If there is no such layout, the features have another rank than it, the tokens
            without the prefix do not fill the grid, or there is a prefix or a size without tokens.

    Example:
        >>> import torch
        >>> to_map(torch.zeros(2, 1 + 64, 128), "tokens", prefix_tokens=1).shape
        torch.Size([2, 128, 8, 8])
    """
    _check("", layout, prefix_tokens, size)
    form = _FORMS[layout]
    if features.ndim != form.count(",") + 1:
        raise ValueError(f"{layout} need the shape {form}, got {tuple(features.shape)}")
    if layout == "maps":
        return features
    if layout == "channels_last":
        return rearrange(features, "b h w c -> b c h w")
    n = features.shape[1] - prefix_tokens
    height, width = size or (math.isqrt(max(n, 0)),) * 2
    if n < 1 or height * width != n:
        grid = f"a grid of {height}x{width}" if size else "a square grid"
        raise ValueError(
            f"tokens behind {prefix_tokens} prefix tokens need {grid}, got {n} of shape "
            f"{tuple(features.shape)}"
        )
    return rearrange(features[:, prefix_tokens:], "b (h w) c -> b c h w", h=height)


class MapAdaptor(nn.Module):
    """Applies a loss of two maps to networks whose features are laid out differently.

    Both sides become maps by :func:`to_map`, the larger is brought to the size of the smaller by
    adaptive average pooling, and the wrapped loss sees the two.

    Args:
        loss: Takes ``student`` and ``teacher`` maps.
        student_layout: Layout of the student's features.
        teacher_layout: Layout of the teacher's features.
        student_prefix_tokens: Leading tokens of the student to drop, where it gives tokens.
        teacher_prefix_tokens: Those of the teacher.
        student_size: Height and width of the student's grid of tokens; None where it is square.
        teacher_size: Those of the teacher.

    Raises:
        ValueError: If there is no such layout, or prefix tokens or a size are given for a side
            without tokens, or are out of range.

    Example:
        >>> import torch
        >>> from distill.losses import HintLoss
        >>> loss = MapAdaptor(HintLoss(128, 256), student_layout="tokens", student_prefix_tokens=1)
        >>> loss(torch.randn(2, 1 + 64, 128), torch.randn(2, 256, 16, 16)).shape
        torch.Size([])
    """

    def __init__(
        self,
        loss: nn.Module,
        student_layout: Layout = "maps",
        teacher_layout: Layout = "maps",
        student_prefix_tokens: int = 0,
        teacher_prefix_tokens: int = 0,
        student_size: tuple[int, int] | None = None,
        teacher_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self._student = (student_layout, student_prefix_tokens, student_size)
        self._teacher = (teacher_layout, teacher_prefix_tokens, teacher_size)
        _check("student_", *self._student)
        _check("teacher_", *self._teacher)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of features in their layouts, brought to maps of one size.

        Raises:
            ValueError: If features do not fit their layout, with the shapes of both.
        """
        try:
            found = to_map(at_least_float32(student), *self._student)
            target = to_map(at_least_float32(teacher.detach()), *self._teacher)
        except ValueError as error:
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"{error}; student and teacher have shapes {shapes}") from error
        size = (min(found.shape[2], target.shape[2]), min(found.shape[3], target.shape[3]))
        value: Tensor = self.loss(_pooled(found, size), _pooled(target, size))
        return value

    def use_teacher_batchnorm(self, batchnorm: nn.Module) -> None:
        """Pass the teacher's batch norm on to a wrapped loss that asks for it."""
        use = getattr(self.loss, "use_teacher_batchnorm", None)
        if use is not None:
            use(batchnorm)


def _pooled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)


def _check(side: str, layout: Layout, prefix_tokens: int, size: tuple[int, int] | None) -> None:
    if layout not in _FORMS:
        raise ValueError(f"{side}layout must be one of {', '.join(_FORMS)}, got {layout!r}")
    if prefix_tokens < 0 or (prefix_tokens and layout != "tokens"):
        allowed = "at least 0" if layout == "tokens" else f"0 for {layout}"
        raise ValueError(f"{side}prefix_tokens must be {allowed}, got {prefix_tokens}")
    if size is not None and (layout != "tokens" or min(size) < 1):
        allowed = "at least 1x1" if layout == "tokens" else f"None for {layout}"
        raise ValueError(f"{side}size must be {allowed}, got {size}")
