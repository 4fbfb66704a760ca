"""Figures of pixels against a loop over a confusion matrix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.metrics.segmentation import PixelComparison, PixelFigures


def by_loops(predicted: np.ndarray, mask: np.ndarray, k: int) -> tuple[float, float]:
    counts = np.zeros((k, k))
    for said, true in zip(predicted.ravel(), mask.ravel(), strict=True):
        if true != 255:
            counts[true, said] += 1
    shares = []
    for c in range(k):
        union = counts[c].sum() + counts[:, c].sum() - counts[c, c]
        if union:
            shares.append(counts[c, c] / union)
    return float(np.mean(shares)), float(np.trace(counts) / counts.sum())


def test_figures_are_those_of_a_confusion_matrix_over_all_batches() -> None:
    rng = np.random.default_rng(0)
    mask = rng.choice([0, 1, 3, 255], (4, 5, 6))  # class 2 is nowhere in the labels, 4 nowhere
    logits = torch.from_numpy(rng.normal(size=(4, 5, 5, 6)).astype("float32"))
    logits[:, 4] = -100
    figures = PixelFigures(5)
    for rows in (slice(0, 1), slice(1, 4)):
        figures.update(logits[rows], torch.from_numpy(mask[rows]))
    found = figures.compute()
    miou, accuracy = by_loops(logits.argmax(1).numpy(), mask, 5)
    assert found["miou"].item() == pytest.approx(miou, abs=1e-6)
    assert found["pixel_accuracy"].item() == pytest.approx(accuracy, abs=1e-6)


def test_a_set_without_known_pixels_has_a_figure_of_0() -> None:
    figures = PixelFigures(2)
    figures.update(torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 255))
    assert [value.item() for value in figures.compute().values()] == [0, 0]


def test_a_comparison_has_the_classes_that_are_there_and_the_gap_to_the_teacher() -> None:
    found = PixelComparison(("ground", "cat", "dog"), with_teacher=True)
    student = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    teacher = student.roll(1, 0)
    student[:, 2] = teacher[:, 2] = -50
    found.update(student, teacher, torch.zeros(2, 4, 4, dtype=torch.int64))
    said = found.compute()
    assert "iou of dog" not in said
    assert said["iou of cat"] == 0
    same = (student.argmax(1) == teacher.argmax(1)).float().mean().item()
    assert said["agreement"] == pytest.approx(same)
    gap = F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="sum") / 32
    assert said["kl_to_teacher_nats"] == pytest.approx(gap.item(), rel=1e-5)
