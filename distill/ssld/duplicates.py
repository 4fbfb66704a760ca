"""Finds near duplicates of validation and test images among unlabelled ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from distill.augment.sheet import contact_sheet
from distill.core.batch import Batch
from distill.core.fingerprint import view_hash
from distill.core.randomness import fold, uniform
from distill.data.datasets import BatchKey, Samples
from distill.data.loader import KeyedLoader, SequentialBatchSampler
from distill.data.selection import name, number
from distill.ssld.perceptual import mirrored, nearest, perceptual_hash

_SHOWN_PAIRS = 16


@dataclass(frozen=True)
class HashedImages:
    """Hashes of the different images of a set, in ascending order of ``pixels``.

    Attributes:
        pixels: Hashes of the pixels (n,), int64.
        bits: Perceptual hashes (n, 126), bool.
        sample: A sample number for each (n,).
        repeated: Number of further images that are equal to one of these.
    """

    pixels: Tensor
    bits: Tensor
    sample: Tensor
    repeated: int


@dataclass(frozen=True)
class Pair:
    """An unlabelled image and the validation or test image that it is a near duplicate of.

    Attributes:
        unlabelled: Hash of its pixels.
        differ: Number of bits in which the perceptual hashes differ.
        near: Hash of the other's pixels.
        split: Split of the other: ``val`` or ``test``.
        flipped: Whether one is the mirror image of the other.
    """

    unlabelled: int
    differ: int
    near: int
    split: str
    flipped: bool


def hash_images(samples: Samples, workers: int = 0) -> HashedImages:
    """Hash every image of a set, as it is in evaluation.

    Args:
        samples: Decoded without augmentation.
        workers: Loader processes.
    """
    loader = KeyedLoader(samples, SequentialBatchSampler(samples.ids, 256), workers)
    seen = [(view_hash(batch.image), perceptual_hash(batch.image)) for batch in loader]
    pixels, bits = (torch.cat(parts) for parts in zip(*seen, strict=True))
    order = pixels.argsort(stable=True)
    ordered = pixels[order]
    first = torch.ones(len(ordered), dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = order[first]
    return HashedImages(pixels[kept], bits[kept], samples.ids[kept], len(order) - len(kept))


def near_duplicates(
    pool: HashedImages, others: Mapping[str, HashedImages], most: int
) -> list[Pair]:
    """Find images of a pool that are near duplicates of others, each with its nearest.

    Args:
        pool: Unlabelled images.
        others: Validation and test images, by split.
        most: Largest number of bits, of 126, in which near duplicates differ.

    Returns:
        The pairs, in ascending order of the hashes of the unlabelled images.
    """
    rows = [(int(p), split) for split, hashed in others.items() for p in hashed.pixels]
    bits = torch.cat([hashed.bits for hashed in others.values()])
    differ, row = nearest(pool.bits, torch.cat([bits, mirrored(bits)]))
    pairs = []
    for place in (differ <= most).nonzero().flatten().tolist():
        near, split = rows[int(row[place]) % len(rows)]
        flipped = int(row[place]) >= len(rows)
        found = Pair(int(pool.pixels[place]), int(differ[place]), near, split, flipped)
        pairs.append(found)
    return pairs


def write_pairs(path: Path, pairs: list[Pair]) -> None:
    """Write pairs as a CSV file, a row each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["unlabelled", "differ", "near", "split", "mirrored"])
        for pair in pairs:
            ends = (pair.split, int(pair.flipped))
            writer.writerow([name(pair.unlabelled), pair.differ, name(pair.near), *ends])


def read_dropped(path: Path) -> Tensor:
    """Read the hashes of the unlabelled images in a file of :func:`write_pairs`."""
    with path.open(newline="") as file:
        found = [number(row["unlabelled"]) for row in csv.DictReader(file)]
    return torch.tensor(found, dtype=torch.int64)


def picture(
    pairs: list[Pair],
    pool: HashedImages,
    samples: Samples,
    sets: Mapping[str, tuple[HashedImages, Samples]],
) -> Image.Image:
    """Draw up to 16 pairs, chosen by key, with the number of bits in which they differ.

    Args:
        pairs: At least one.
        pool: The unlabelled images' hashes.
        samples: The unlabelled images.
        sets: Hashes and images of the validation and test sets, by split.
    """
    key = torch.tensor([pair.unlabelled for pair in pairs])
    shown = [
        pairs[i] for i in uniform(fold("pairs"), key)[:, 0].argsort(stable=True)[:_SHOWN_PAIRS]
    ]
    own = [_image(pair.unlabelled, pool, samples) for pair in shown]
    near = [_image(pair.near, *sets[pair.split]) for pair in shown]
    captions = [_caption(pair) for pair in shown]
    row = torch.arange(len(shown))
    columns = {
        "unlabelled": Batch(torch.cat(own), row, row, 0),
        "near duplicate of": Batch(torch.cat(near), row, row, 0),
    }
    return contact_sheet(columns, lambda row: captions[int(row)])


def _image(pixels: int, hashed: HashedImages, samples: Samples) -> Tensor:
    place = torch.searchsorted(hashed.pixels, torch.tensor([pixels]))
    return samples[BatchKey(0, hashed.sample[place])].image


def _caption(pair: Pair) -> str:
    seen = ", mirrored" if pair.flipped else ""
    return f"{pair.differ} bits, {pair.split}{seen}"
