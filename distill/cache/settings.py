"""Settings of a cache, as a recipe has them."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import nn

from distill.cache.folder import check_place

StoredType = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class CacheSettings:
    """The file of a cache, and the precision of its entries.

    Attributes:
        file: An SQLite file, created if missing; ``auto``: one in ``runs/cache`` that is named by
            a hash of everything the outputs depend on; a folder that ends on ``.shards``, or a URL
            such as ``s3://bucket/kd.shards``: files that several machines may share.
        dtype: ``float32`` keeps the teacher's outputs, bitwise; ``float16`` and ``bfloat16`` round
            it to half the size.
        top_k: Keep this many of each image's largest logits; the probability of the other classes
            is spread evenly over them. None keeps all.
        pool: Keep the spatial mean (b, c) of tapped maps (b, c, h, w) instead of the maps; the
            losses are given the mean too.

    Raises:
        ValueError: If ``top_k`` is below 1.
    """

    file: str = "auto"
    dtype: StoredType = "float32"
    top_k: int | None = None
    pool: bool = False

    def __post_init__(self) -> None:
        if not self.file:
            raise ValueError("cache must be auto or the path of a file, got nothing")
        if "\0" in self.file:
            raise ValueError("cache must be the path of a file, got one with a null byte")
        check_place(self.file)
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")

    def fields(self) -> dict[str, str]:
        """List the fields that these settings add to a fingerprint."""
        return {
            "cache.dtype": self.dtype,
            "cache.top_k": str(self.top_k),
            "cache.pool": str(self.pool),
        }


@runtime_checkable
class RequestsCache(Protocol):
    """A teacher whose outputs are to be cached, such as ``teachers.Cached``."""

    network: nn.Module
    cache_settings: CacheSettings
