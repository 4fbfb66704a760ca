"""One file of a sharded cache: a safetensors file that is named after a hash of what it says.

Its head tells whose rows these are, and of each its sample, the hash of its pixels and a checksum
of its bytes; the name is a hash of the head. So a head is read without its rows, and neither can be
damaged or moved without being found out.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from distill.cache.store import Entry

ENDING = ".safetensors"
_FIRST = 1 << 16  # bytes that are read at first: the head of 2,700 rows


class Head(NamedTuple):
    """What a shard says of its rows.

    Attributes:
        samples: (n,), int64.
        pixel_hashes: (n,), int64.
        checksums: (n,), int64, of the bytes of each row.
        shape: Of a stored tensor, without the batch.
        start: Byte of the file at which the rows begin.
        row_bytes: Length of a row.
    """

    samples: NDArray[np.int64]
    pixel_hashes: NDArray[np.int64]
    checksums: NDArray[np.int64]
    shape: tuple[int, ...]
    start: int
    row_bytes: int


def pack(about: Mapping[str, str], rows: Mapping[int, Entry]) -> tuple[str, bytes]:
    """Make a file of rows of one shape.

    Args:
        about: Whose rows they are.
        rows: By sample.

    Returns:
        Its name and its content.
    """
    entries = list(rows.values())
    shape = ",".join(map(str, entries[0].shape))
    index: NDArray[Any] = np.array(
        [list(rows), [e.pixel_hash for e in entries], [zlib.crc32(e.data) for e in entries]],
        np.int64,
    )
    data = np.frombuffer(b"".join(e.data for e in entries), np.uint8).reshape(len(entries), -1)
    # The widest type comes first in a safetensors file: the index belongs to the head.
    tensors: dict[str, NDArray[Any]] = {"index": index, "rows": data}
    content = save(tensors, metadata={**about, "shape": shape})
    return _name(content[: len(content) - data.nbytes]), content


def read_head(name: str, about: Mapping[str, str], read: Callable[[int, int], bytes]) -> Head:
    """Read and check the head of a file.

    Args:
        name: Of the file.
        about: Whose rows it should hold.
        read: Gives its bytes from one place to another, fewer at its end.

    Raises:
        ValueError: If it is damaged, or holds rows of others.
    """
    first = read(0, _FIRST)
    try:
        length = int.from_bytes(first[:8], "little")
        header = json.loads(first[8 : 8 + length])
        start = 8 + length + header["rows"]["data_offsets"][0]
        head = first[:start] + (read(_FIRST, start) if start > _FIRST else b"")
        whole = _name(head) == name
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise ValueError("its head cannot be read") from error
    if not whole:
        raise ValueError("its head does not match the hash in its name")
    says = dict(header["__metadata__"])
    shape = tuple(int(n) for n in says.pop("shape").split(",") if n)
    for key, wanted in about.items():
        if says.get(key) != wanted:
            raise ValueError(f"its {key} is {says.get(key)} where {wanted} was expected")
    samples, pixel_hashes, checksums = np.frombuffer(head, "<i8", offset=8 + length).reshape(3, -1)
    row_bytes = header["rows"]["shape"][1]
    return Head(samples, pixel_hashes, checksums, shape, start, row_bytes)


def _name(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:32] + ENDING
