import pytest
import torch

from distill.augment.pixels import as_float, like, per_image


def test_bytes_come_back_exactly() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    pixels = as_float(image)
    assert pixels.dtype == torch.float32
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert torch.equal(like(image, pixels), image)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_floats_come_back_exactly(dtype: torch.dtype) -> None:
    image = torch.rand(1, 1, 9, 9).to(dtype)
    pixels = as_float(image)
    assert pixels.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(like(image, pixels), image)


def test_levels_are_rounded_and_clipped() -> None:
    pixels = torch.tensor([-0.1, 0.4 / 255, 0.6 / 255, 1.2])
    assert like(torch.zeros(1, dtype=torch.uint8), pixels).tolist() == [0, 0, 1, 255]
    assert like(torch.zeros(1), pixels)[[0, 3]].tolist() == [0, 1]


def test_one_number_for_each_image() -> None:
    pixels = torch.ones(2, 3, 4, 5)
    values = per_image(torch.tensor([2.0, 3.0], dtype=torch.float64), pixels)
    assert values.dtype == torch.float32
    assert (pixels * values)[:, 2, 3, 4].tolist() == [2, 3]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_other_types_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"images must be uint8 or floating point, got {dtype}"):
        as_float(torch.zeros(1, 1, 2, 2).to(dtype))
