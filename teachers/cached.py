"""A teacher whose outputs are cached on disk."""

from torch import Tensor, nn

from distill.cache import CacheSettings
from distill.cache.settings import StoredType


class Cached(nn.Module):
    """Asks for a cache of a network's outputs, by view.

    ``distill.modules.Distillation`` opens the cache and puts the network in the place of this
    module, so layers are tapped by the same paths as without it. Elsewhere it only calls the
    network.

    Args:
        teacher: The network.
        cache: An SQLite file, created if missing; ``auto``: one in ``runs/cache`` that is named by
            a hash of everything the outputs depend on; a folder that ends on ``.shards``, or a URL
            such as ``s3://bucket/kd.shards``: files that several machines may share.
        dtype: ``float32`` keeps the teacher's outputs, bitwise; ``float16`` and ``bfloat16`` round
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
        """Logits (b, k) of images (b, c, h, w)."""
        logits: Tensor = self.network(image)
        return logits
