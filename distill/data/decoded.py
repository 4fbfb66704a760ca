"""Decoded images kept in a file: the next run of a study need not decode them again."""

import hashlib
import os
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FOLDER = Path("runs/cache/images")
_LEAST_SECONDS, _MOST_BYTES = 2.0, 2 * 2**30


def decoded_once(depends_on: str | None, decode: Callable[[], Tensor]) -> Tensor:
    """What ``decode`` returns, from a file if an earlier process left it there.

    A file is left if decoding took more than two seconds, for tables of at most 2 GiB. It may be
    deleted at any time; one that is damaged is made anew.

    Args:
        depends_on: Everything that the images depend on, as text; None keeps nothing.
        decode: Decodes the images (n, c, h, w), uint8.
    """
    if depends_on is None:
        return decode()
    named = hashlib.sha256(depends_on.encode(errors="surrogateescape")).hexdigest()[:16]
    path = FOLDER / f"{named}.safetensors"
    if (kept := _read(path)) is not None:
        return kept
    started = time.perf_counter()
    images = decode()
    if time.perf_counter() - started > _LEAST_SECONDS and images.nbytes <= _MOST_BYTES:
        _write(images, path)
    return images


def _read(path: Path) -> Tensor | None:
    try:
        with safe_open(path, "pt") as file:
            images: Tensor = file.get_tensor("images")
            return images if file.metadata() == _facts(images) else None
    except (OSError, SafetensorError):
        return None


def _write(images: Tensor, path: Path) -> None:
    """Whole or not at all, whoever else writes it."""
    own = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": images}, own, metadata=_facts(images))
        own.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            own.unlink()
        warnings.warn(f"going on without keeping the decoded images: {error}", stacklevel=2)


def _facts(images: Tensor) -> dict[str, str]:
    return {"crc32": str(zlib.crc32(images.numpy().data))}
