"""The images that ``distill ssld`` selected, and where they are.

A manifest names an image by a hash of its pixels, so it is the same in whatever order the images
came. The file ``places.safetensors`` maps hashes to sample numbers, for one pool.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

PLACES, SELECTED = "places.safetensors", "selected.csv"


@dataclass(frozen=True)
class Places:
    """Sample numbers of the different images of a pool.

    Attributes:
        pixels: Hashes of their pixels (n,), int64, ascending, each once.
        sample: A sample number for each (n,), int64.
        pool: A digest of the pool that the numbers belong to.
    """

    pixels: Tensor
    sample: Tensor
    pool: str

    def save(self, folder: Path) -> None:
        """Write the file into a folder."""
        tensors = {"pixels": self.pixels, "sample": self.sample}
        save_file(tensors, folder / PLACES, metadata={"pool": self.pool})

    def samples_of(self, pixels: Tensor) -> Tensor:
        """Look up the sample numbers of images (m,), all of them in the pool."""
        return self.sample[torch.searchsorted(self.pixels, pixels)]


def load_places(folder: Path, pool: str) -> Places:
    """Read the sample numbers of the images of a pool.

    Raises:
        ValueError: If the file is missing or damaged, or belongs to another pool.
    """
    path = folder / PLACES
    try:
        with safe_open(path, "pt") as file:
            found = Places(
                file.get_tensor("pixels"), file.get_tensor("sample"), file.metadata()["pool"]
            )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read {path}: make it with `distill ssld`") from error
    if found.pool != pool:
        raise ValueError(f"{path} was made from other images: run `distill ssld` again")
    return found


def selected_samples(folder: Path, pool: str) -> Tensor:
    """Read the sample numbers of the selected images of a pool, in ascending order.

    Raises:
        ValueError: If nothing was selected, or from another pool, or a file is damaged.
    """
    places, path = load_places(folder, pool), folder / SELECTED
    try:
        with path.open(newline="") as file:
            pixels = torch.tensor([number(row["pixels"]) for row in csv.DictReader(file)])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cannot read {path}: make it with `distill ssld`") from error
    if not torch.isin(pixels, places.pixels).all():
        raise ValueError(f"{path} names images that are not in the pool: run `distill ssld` again")
    return places.samples_of(pixels).sort().values


def name(pixels: int) -> str:
    """Write a hash as 16 hexadecimal digits.

    Example:
        >>> name(-1), number(name(-5))
        ('ffffffffffffffff', -5)
    """
    return f"{pixels & (2**64 - 1):016x}"


def number(text: str) -> int:
    """Read a hash that :func:`name` wrote."""
    value = int(text, 16)
    return value - 2**64 if value >= 2**63 else value
