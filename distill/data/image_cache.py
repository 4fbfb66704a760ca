"""A cache of decoded images: the next run of a study need not decode them again."""

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


def cached_images(depends_on: str | None, decode: Callable[[], Tensor]) -> Tensor:
    """Read images from the cache, or decode and cache them.

    They are cached if decoding took more than two seconds and they take at most 2 GiB. The file may
    be deleted at any time; a damaged one is written again.

    Args:
        depends_on: Everything that the images depend on, as text; None disables the cache.
        decode: Decodes the images (n, c, h, w), uint8.
    """
    if depends_on is None:
        return decode()
    key = hashlib.sha256(depends_on.encode(errors="surrogateescape")).hexdigest()[:16]
    path = FOLDER / f"{key}.safetensors"
    if (cached := _read(path)) is not None:
        return cached
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
    """Write the whole file or nothing, even if other processes write it too."""
    own = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": images}, own, metadata=_facts(images))
        own.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            own.unlink()
        warnings.warn(f"decoded images were not cached, training continues: {error}", stacklevel=2)


def _facts(images: Tensor) -> dict[str, str]:
    return {"crc32": str(zlib.crc32(images.numpy().data))}
