"""A teacher whose outputs are kept on disk."""

from torch import Tensor, nn

from distill.cache import CacheSettings
from distill.cache.settings import StoredType


class Cached(nn.Module):
    """A network with the request to keep what it says of each view.

    ``distill.modules.Distillation`` reads the request and puts the network in this one's place:
    layers are tapped by the same paths as without it. Anywhere else it passes images on.

    Args:
        teacher: The network.
        cache: An SQLite file, made if it is not there; ``auto``: one in ``runs/cache`` that is
            named after everything the outputs depend on.
        dtype: ``float32`` keeps what the teacher gave, bitwise; ``float16`` and ``bfloat16`` round
            it to half the size.
        top_k: Keep this many of each image's largest logits; the probability of the other classes
            is spread evenly over them. None keeps all.
        pool: Keep the spatial mean (b, c) of tapped maps (b, c, h, w) instead of the maps; the
            losses are given the mean too.

    Raises:
        ValueError: If ``top_k`` is below 1 or ``cache`` is empty.

    Example:
        >>> import torch
        >>> Cached(nn.Linear(3, 2), top_k=1)(torch.zeros(4, 3)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        teacher: nn.Module,
        cache: str = "auto",
        dtype: StoredType = "float32",
        top_k: int | None = None,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.network = teacher
        self.cache_settings = CacheSettings(cache, dtype, top_k, pool)

    def forward(self, image: Tensor) -> Tensor:
        """The network's logits (b, k)."""
        logits: Tensor = self.network(image)
        return logits
