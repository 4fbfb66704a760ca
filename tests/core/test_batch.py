import pytest
import torch

from distill.core.batch import Batch, Boxes


def test_a_mask_of_another_size_is_refused() -> None:
    image, rows = torch.zeros(2, 3, 8, 8), torch.arange(2)
    with pytest.raises(ValueError, match=r"\(b, h, w\) = \(2, 8, 8\), got \(2, 4, 4\)"):
        Batch(image, rows, rows, epoch=0, mask=torch.zeros(2, 4, 4))


def test_edges_in_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be floating point, got torch\.int64"):
        Boxes(torch.zeros(1, 4).long(), torch.zeros(1).long(), torch.zeros(1).long())
