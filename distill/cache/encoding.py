"""Encodes teacher outputs as bytes, one record per sample, and decodes them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.cache.settings import CacheSettings

LOGITS = "teacher.logits"


class Encoding:
    """Encodes the outputs of a batch as records, and decodes them.

    Args:
        settings: The stored type, the number of logits kept, and whether maps are pooled.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        self._top_k, self._pool = settings.top_k, settings.pool

    def encode(self, name: str, value: Tensor) -> tuple[list[bytes], tuple[int, ...]]:
        """Encode an output as records.

        Args:
            name: Its context key.
            value: (b, ...), floating point.

        Returns:
            A record per row of the batch, and the shape of a decoded row.

        Raises:
            ValueError: If there are no more logits than ``top_k``.
        """
        value = value.detach().float().cpu()
        if self._pool and value.ndim == 4:
            value = value.mean((2, 3))
        shape = tuple(value.shape[1:])
        if name == LOGITS and self._top_k is not None:
            return self._sparse(value, self._top_k), shape
        return _rows(value.to(self._dtype)), shape

    def decode(self, name: str, records: Sequence[bytes], shape: tuple[int, ...]) -> Tensor:
        """Decode records to an output (b, ...), float32."""
        data = bytearray(b"".join(records))
        if name == LOGITS and self._top_k is not None:
            return self._dense(data, len(records), shape[0], self._top_k)
        return torch.frombuffer(data, dtype=self._dtype).reshape(len(records), *shape).float()

    def round_trip(self, name: str, value: Tensor) -> Tensor:
        """Encode and decode an output; the result is on its device."""
        return self.decode(name, *self.encode(name, value)).to(value.device)

    def _sparse(self, logits: Tensor, top_k: int) -> list[bytes]:
        classes = logits.shape[1]
        if top_k >= classes:
            raise ValueError(f"top_k must be below the {classes} classes, got {top_k}")
        largest, places = logits.topk(top_k)
        rest = logits.scatter(1, places, -torch.inf).logsumexp(1, keepdim=True)
        evenly = rest - torch.tensor(float(classes - top_k)).log()
        values = _rows(torch.cat([largest, evenly], 1).to(self._dtype))
        return [v + p for v, p in zip(values, _rows(places.to(torch.int32)), strict=True)]

    def _dense(self, data: bytearray, n: int, classes: int, top_k: int) -> Tensor:
        table = torch.frombuffer(data, dtype=torch.uint8).reshape(n, -1)
        split = table.shape[1] - 4 * top_k
        values = table[:, :split].contiguous().view(self._dtype).float()
        places = table[:, split:].contiguous().view(torch.int32).long()
        return values[:, -1:].repeat(1, classes).scatter(1, places, values[:, :-1])


def _rows(value: Tensor) -> list[bytes]:
    table = value.contiguous().reshape(len(value), -1).view(torch.uint8).numpy()
    return [row.tobytes() for row in table]
