"""The task of segmenters: forms, losses, figures."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from distill.core.batch import Batch
from distill.tasks import Segmentation

TASK = Segmentation()


def batch(mask: torch.Tensor | None, n: int = 2, side: int = 4) -> Batch:
    image = torch.zeros(n, 1, side, side)
    return Batch(image, torch.full((n,), -100), torch.arange(n), 0, mask=mask)


def data(mask: torch.Tensor | None, classes: int = 3) -> SimpleNamespace:
    names = tuple(str(number) for number in range(classes))
    return SimpleNamespace(classes=names, example=lambda n: batch(mask))


def test_outputs_need_a_logit_per_class_at_each_pixel() -> None:
    mask = torch.zeros(2, 4, 4)
    TASK.check_outputs(torch.zeros(2, 3, 4, 4), data(mask))
    with pytest.raises(ValueError, match=r"^needs logits \(b, 3, 4, 4\), .* gives \(2, 3\)$"):
        TASK.check_outputs(torch.zeros(2, 3), data(mask))
    with pytest.raises(ValueError, match=r"gives \(2, 3, 2, 2\)$"):
        TASK.check_outputs(torch.zeros(2, 3, 2, 2), data(mask))
    with pytest.raises(ValueError, match=r"^needs masks, the data have none"):
        TASK.check_outputs(torch.zeros(2, 3, 4, 4), data(None))


def test_the_loss_is_the_mean_over_known_pixels() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 4, 4, dtype=torch.uint8)
    mask[0, :2] = 255
    mask[1, 3] = 2
    expected = F.cross_entropy(logits, mask.long(), ignore_index=255)
    assert torch.allclose(TASK.label_loss(logits, batch(mask)), expected)
    nothing = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    assert TASK.label_loss(logits, batch(nothing)).item() == 0


def test_what_terms_read() -> None:
    mask = torch.tensor([[[0, 255], [1, 2]]], dtype=torch.uint8)
    made = TASK.make(batch(mask, n=1, side=2), {}, ["known"])
    assert made["batch.mask"].dtype == torch.int64
    assert made["known"].tolist() == [[[True, False], [True, True]]]
    assert TASK.rows_at(mask, made["known"]).tolist() == [0, 1, 2]
    maps = torch.arange(8.0).view(1, 2, 2, 2)
    assert TASK.rows_at(maps, made["known"]).tolist() == [[0, 4], [2, 6], [3, 7]]


def test_no_mask_is_told() -> None:
    with pytest.raises(ValueError, match=r"^needs masks, the data have none$"):
        TASK.target(batch(None))
