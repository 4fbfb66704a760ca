"""Selects the images of a pool to train on: the most certain of each class."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.core.randomness import fold, uniform
from distill.data.selection import name


@dataclass(frozen=True)
class Selection:
    """The selected images, class by class, in descending order of their scores.

    Attributes:
        label: Classes that the teacher predicts (m,), int64.
        score: Probabilities that it gives them (m,), float64.
        pixels: Hashes of the images' pixels (m,), int64.
        predicted: Number of images of the whole pool by predicted class (k,), int64.
    """

    label: Tensor
    score: Tensor
    pixels: Tensor
    predicted: Tensor


def top_k(pixels: Tensor, logits: Tensor, k: int) -> Selection:
    """Select the images with the k highest scores of each predicted class.

    Ties are broken by a key of the image, so the order of the images does not matter.

    Args:
        pixels: Hashes (n,), each once.
        logits: The teacher's logits (n, c).
        k: At least 1.

    Raises:
        ValueError: If k is below 1.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
        >>> top_k(torch.tensor([5, 6, 7]), logits, k=1).pixels.tolist()
        [5, 7]
    """
    if k < 1:
        raise ValueError(f"top_k must be at least 1, got {k}")
    score, label = logits.double().softmax(1).max(1)
    tie = uniform(fold("ties"), pixels)[:, 0]
    keys = (pixels, tie, -score, label)  # sorted by the last one first
    order = torch.from_numpy(np.lexsort([key.numpy() for key in keys]))
    predicted = label.bincount(minlength=logits.shape[1])
    first = predicted.cumsum(0) - predicted
    rank = torch.arange(len(order)) - first[label[order]]
    kept = order[rank < k]
    return Selection(label[kept], score[kept], pixels[kept], predicted)


def write_selection(path: Path, selection: Selection, classes: tuple[str, ...]) -> None:
    """Write the selected images as a CSV file, a row each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "score", "pixels"])
        columns = (selection.label, selection.score, selection.pixels)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        writer.writerows([classes[label], score, name(pixels)] for label, score, pixels in rows)


def counts(selection: Selection, classes: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """Count the images predicted and selected of each class, with the lowest score selected."""
    selected = selection.label.bincount(minlength=len(classes))
    found: dict[str, dict[str, float | None]] = {}
    for place, title in enumerate(classes):
        own = selection.score[selection.label == place]
        found[title] = {
            "predicted": int(selection.predicted[place]),
            "selected": int(selected[place]),
            "lowest_score": float(own.min()) if len(own) else None,
        }
    return found
