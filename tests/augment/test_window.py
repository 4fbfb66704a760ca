import numpy as np
import pytest
import torch
from scipy import stats

from distill.augment.window import Window, filled, or_central, random_windows

SAMPLES = torch.arange(4000)


@pytest.mark.parametrize("size", [(1000, 1000), (600, 1300)])
def test_windows_have_the_wanted_areas_shapes_and_places(size: tuple[int, int]) -> None:
    window = random_windows(1, SAMPLES, size, (0.1, 0.2), (0.5, 2.0))
    top, left, height, width = (part.double().numpy() for part in window)
    area, aspect = height * width / (size[0] * size[1]), np.log(width / height)
    down, right = top / (size[0] - height), left / (size[1] - width)
    assert stats.kstest(area, stats.uniform(0.1, 0.1).cdf).pvalue > 1e-3
    assert stats.kstest(aspect, stats.uniform(-np.log(2), 2 * np.log(2)).cdf).pvalue > 1e-3
    for place in (down, right):
        assert place.min() >= 0
        assert place.max() <= 1
        # Whole pixels: the smallest range of places has only about forty.
        assert stats.kstest(place, stats.uniform(0, 1).cdf).statistic < 0.03


def test_what_never_fits_has_no_pixels_or_becomes_the_largest_central_window() -> None:
    wide, tall, aspect = (2, 101), (101, 2), (0.5, 4.0)
    window = random_windows(1, SAMPLES[:3], wide, (0.9, 1.0), aspect)
    assert [part.tolist() for part in window] == [[0] * 3] * 4
    assert [part.tolist() for part in or_central(window, wide, aspect)] == [
        [expected] * 3 for expected in (0, (101 - 8) // 2, 2, 8)
    ]
    window = random_windows(1, SAMPLES[:1], tall, (0.9, 1.0), aspect)
    assert [int(part) for part in or_central(window, tall, aspect)] == [(101 - 4) // 2, 0, 4, 2]


def test_windows_that_fit_stay() -> None:
    window = random_windows(1, SAMPLES, (32, 32), (0.1, 0.2), (0.5, 2.0))
    for part, same in zip(window, or_central(window, (32, 32), (0.5, 2.0)), strict=True):
        assert torch.equal(part, same)


def test_whole_images_stay_whole() -> None:
    window = random_windows(1, SAMPLES, (32, 32), (1.0, 1.0), (1.0, 1.0))
    for part, expected in zip(window, (0, 0, 32, 32), strict=True):
        assert set(part.tolist()) == {expected}


def test_filled_windows_are_cut_off_at_the_edges() -> None:
    window = Window(*(torch.tensor(v) for v in ([1, -2, 4], [2, -1, 9], [3, 4, 0], [2, 3, 5])))
    pixels = filled(window, (6, 8)).numpy()
    for row, (top, left, height, width) in enumerate(
        zip(*(p.tolist() for p in window), strict=True)
    ):
        for i in range(6):
            for j in range(8):
                inside = top <= i < top + height and left <= j < left + width
                assert pixels[row, i, j] == inside
