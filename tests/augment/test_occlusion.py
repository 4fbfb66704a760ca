from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from distill.augment import Cutout, GridMask, RandomErasing
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform
from tests.augment.scenes import noise, rectangles

EACH = pytest.mark.parametrize(
    "module", [Cutout(5, 1.0), GridMask(fill=1.0), RandomErasing(fill=1)]
)


def white(n: int, height: int, width: int) -> Batch:
    batch = noise(n, 1, height, width, torch.float32)
    return replace(batch, image=torch.ones_like(batch.image))


def hidden(module: nn.Module, batch: Batch, key: int = 1) -> np.ndarray:
    return (module(batch, key).image[:, 0] == 0).numpy()


def test_a_square_is_cut_around_a_random_pixel() -> None:
    key, batch = 3, white(50, 12, 15)
    centres = (
        uniform(fold(key, "centre"), batch.index, 2).double() * torch.tensor([12, 15])
    ).long()
    for cut, (row, column) in zip(hidden(Cutout(5), batch, key), centres.tolist(), strict=True):
        for i in range(12):
            for j in range(15):
                assert cut[i, j] == (abs(i - row) <= 2 and abs(j - column) <= 2)


def test_every_pixel_is_cut_around_as_often() -> None:
    batch = white(4000, 4, 5)
    cut = hidden(Cutout(1), batch)
    assert (cut.sum((1, 2)) == 1).all()
    counts = cut.sum(0)
    assert counts.min() > 140  # 200 expected, 14 is one sigma
    assert counts.max() < 260


def test_an_erased_part_is_one_rectangle_of_the_wanted_area() -> None:
    erased = hidden(RandomErasing((0.1, 0.3), (0.5, 2.0), probability=1.0), white(300, 40, 30))
    shares = []
    for cut in erased:
        rows, columns = np.nonzero(cut)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert cut.sum() == height * width
        assert 0.45 < width / height < 2.2  # sides are whole pixels
        shares.append(cut.mean())
    assert 0.09 < min(shares) < 0.12
    assert 0.28 < max(shares) < 0.31


def test_a_grid_has_its_period_and_ratio() -> None:
    for cut in hidden(GridMask((0.5, 0.5), ratio=0.6, probability=1.0), white(20, 20, 30)):
        rows, columns = cut.any(1), cut.any(0)
        assert np.array_equal(cut, np.outer(rows, columns))
        for line in (rows, columns):
            assert np.array_equal(line[10:], line[:-10])
            assert line[:10].sum() == 4  # (1 - 0.6) * 10


def test_periods_and_places_of_grids_vary() -> None:
    cuts = hidden(GridMask((0.2, 0.8), probability=1.0), white(200, 20, 20))
    assert len({cut.tobytes() for cut in cuts}) > 150
    assert len({tuple(cut.any(1)) for cut in cuts}) > 40


@EACH
def test_what_is_hidden_is_filled_and_unknown(module: nn.Module) -> None:
    batch = rectangles(30)
    batch.image.clamp_(max=254)
    view = module(batch, 1)
    filled = (view.image == 255).all(1)
    assert filled.any()
    assert torch.equal(view.mask, torch.where(filled, 255, batch.mask))
    assert torch.equal(view.image, torch.where(filled[:, None], 255, batch.image))
    assert torch.equal(view.boxes.xyxy, batch.boxes.xyxy)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (Cutout, {"size": 0}, "size must be at least 1, got 0"),
        (Cutout, {"size": 2, "fill": 2}, r"fill must be in 0\.\.1, got 2"),
        (Cutout, {"size": 2, "probability": 2}, r"probability must be in 0\.\.1, got 2"),
        (RandomErasing, {"area": (0.0, 0.5)}, r"area must be two ascending numbers in 0\.001\.\.1"),
        (RandomErasing, {"aspect": (3, 2)}, r"aspect must be two ascending numbers in 0\.1\.\.10"),
        (RandomErasing, {"fill": -1}, r"fill must be in 0\.\.1, got -1"),
        (RandomErasing, {"probability": 2}, r"probability must be in 0\.\.1, got 2"),
        (GridMask, {"period": (0.0, 1.0)}, r"period must be two ascending numbers in 0\.05\.\.1"),
        (GridMask, {"ratio": 1.1}, r"ratio must be in 0\.\.1, got 1\.1"),
        (GridMask, {"fill": -1}, r"fill must be in 0\.\.1, got -1"),
        (GridMask, {"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(module: type, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module(**arguments)


def test_an_image_that_no_rectangle_fits_loses_nothing() -> None:
    batch = noise(8, height=16, width=16)
    erase = RandomErasing(area=(0.6, 0.7), aspect=(0.3, 0.35), probability=1.0)
    assert torch.equal(erase(batch, 1).image, batch.image)


def test_no_line_of_text_loses_more_than_the_largest_area() -> None:
    batch = replace(
        noise(3000, channels=1, height=8, width=64), mask=torch.zeros(3000, 8, 64).long()
    )
    hidden = RandomErasing(probability=1.0)(batch, 1).mask == 255
    shares = hidden.double().mean((1, 2))
    assert 0.3 < shares.max() < 0.35  # 0.33 and the rounding to whole pixels
