import pytest
import torch
from scipy import stats

from distill.augment import GaussianNoise
from tests.augment.scenes import assert_same, noise


def test_noise_is_normal_and_as_strong_as_told() -> None:
    batch = noise(20, height=30, width=30, dtype=torch.float64)
    batch.image[:] = 0.5
    values = (GaussianNoise((0.1, 0.1), probability=1.0)(batch, 1).image - 0.5).flatten().numpy()
    # A table of 4,096 quantiles: the steps are 1/4096 of the distribution, the tails end at 3.7.
    assert stats.kstest(values, stats.norm(0, 0.1).cdf).pvalue > 1e-3
    assert abs(values).max() < 0.1 * 3.8


def test_each_image_has_its_own_strength() -> None:
    batch = noise(200, height=30, width=30, dtype=torch.float64)
    batch.image[:] = 0.5
    strength = (GaussianNoise((0.02, 0.1), probability=1.0)(batch, 1).image - 0.5).flatten(1).std(1)
    assert stats.kstest(strength.numpy(), stats.uniform(0.02, 0.08).cdf).pvalue > 1e-3


def test_no_pixel_has_the_noise_of_another() -> None:
    batch = noise(3, dtype=torch.float64)
    batch.image[:] = 0.5
    values = (GaussianNoise((0.1, 0.1), probability=1.0)(batch, 1).image - 0.5).flatten()
    assert len(values.unique()) > 0.8 * len(values)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_strength_changes_nothing(dtype: torch.dtype) -> None:
    batch = noise(4, dtype=dtype)
    assert_same(GaussianNoise((0.0, 0.0), probability=1.0)(batch, 1), batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"std": (0.2, 0.1)}, r"std must be two ascending numbers in 0\.\.1, got \[0\.2, 0\.1\]"),
        ({"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianNoise(**arguments)


def test_an_empty_batch_stays_empty() -> None:
    assert len(GaussianNoise()(noise(0), 1).image) == 0
