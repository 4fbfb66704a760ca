from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from distill.augment import CutMix, Mixup
from distill.augment.draws import partners
from distill.core.batch import Batch
from distill.core.randomness import fold
from tests.augment.scenes import noise

BOTH = pytest.mark.parametrize("mix", [Mixup, CutMix])


def own_class_each(n: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Every image has a class and a level of its own: class i is (i + 1) / (n + 1) bright."""
    levels = (torch.arange(n).double() + 1) / (n + 1)
    batch = noise(n, height=16, width=12, dtype=dtype)
    image = levels[:, None, None, None].expand_as(batch.image).to(dtype).clone()
    return replace(batch, image=image, target=torch.arange(n))


def other_of(batch: Batch, key: int) -> torch.Tensor:
    return partners(fold(key, "partner"), batch.index)


@BOTH
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_targets_are_shares_that_sum_to_one(mix: type[nn.Module], dtype: torch.dtype) -> None:
    batch = noise(200, dtype=dtype)
    target = mix(num_classes=5)(batch, 1).target
    assert target.shape == (200, 5)
    assert target.dtype == torch.float32
    assert (target >= 0).all()
    assert (target.sum(1) - 1).abs().max() <= 2.0**-23
    assert (target[:, 3:] == 0).all()


def test_mixup_adds_up_images_with_the_weights_of_their_targets() -> None:
    batch = noise(40, dtype=torch.float64)
    batch.target = torch.arange(40)
    view, other = Mixup(num_classes=40, alpha=1.0)(batch, 1), other_of(batch, 1)
    assert not (view.image == batch.image).flatten(1).all(1).any()
    for row in range(40):
        weights = view.target[row].double().numpy()
        assert set(np.nonzero(weights)[0]) <= {row, int(other[row])}
        expected = np.einsum("n,nchw->chw", weights, batch.image.numpy())
        np.testing.assert_allclose(view.image[row], expected, atol=1e-7)


def test_mixup_of_bytes_is_rounded_once() -> None:
    batch = noise(40)
    batch.target = torch.arange(40)
    view = Mixup(num_classes=40, alpha=1.0)(batch, 1)
    exact = np.einsum("mn,nchw->mchw", view.target.double().numpy(), batch.image.double().numpy())
    assert np.abs(view.image.numpy() - exact).max() <= 0.501


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_of_mixup_follow_the_beta_distribution(alpha: float) -> None:
    many = torch.arange(2000)
    batch = Batch(torch.zeros(2000, 1, 1, 1), many, many, epoch=0)
    share = Mixup(num_classes=2000, alpha=alpha)(batch, 1).target.diagonal().double().numpy()
    assert gap_to_beta(share, alpha) < 0.044  # of 2,000 draws: one in a thousand


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_areas_of_cutmix_follow_the_beta_distribution(alpha: float) -> None:
    many = torch.arange(2000)
    batch = Batch(torch.zeros(1, 1, 1, 1).expand(2000, 1, 1000, 1000), many, many, epoch=0)
    window = CutMix(num_classes=2000, alpha=alpha)._window(batch, 1)
    share = 1 - (window.height * window.width).double().numpy() / 1e6
    assert gap_to_beta(share, alpha) < 0.044


def gap_to_beta(share: np.ndarray, alpha: float) -> float:
    """Between the distributions, away from 0 and 1, where shares are rounded to steps."""
    places = np.linspace(0.02, 0.98, 97)
    found = (share[:, None] <= places).mean(0)
    return float(np.abs(found - stats.beta(alpha, alpha).cdf(places)).max())


def test_cutmix_weighs_targets_by_the_pixels_seen() -> None:
    batch = own_class_each(60)
    view, other = CutMix(num_classes=60)(batch, 1), other_of(batch, 1)
    cut = 0
    for row in range(60):
        pixels = view.image[row, 0]
        own, foreign = (
            pixels == batch.image[row, 0, 0, 0],
            pixels == batch.image[other[row], 0, 0, 0],
        )
        assert (own | foreign).all()
        expected = torch.zeros(60)
        expected[row], expected[other[row]] = own.double().mean(), foreign.double().mean()
        torch.testing.assert_close(view.target[row], expected, atol=2.0**-24, rtol=0)
        rows, columns = np.nonzero(foreign.numpy())
        if len(rows):
            assert foreign.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one rectangle
            cut += 1
    assert cut > 45


def test_a_small_alpha_mixes_little_and_a_large_one_evenly() -> None:
    batch = own_class_each(100)
    little = Mixup(num_classes=100, alpha=0.05)(batch, 1).target.amax(1)
    evenly = Mixup(num_classes=100, alpha=50.0)(batch, 1).target.amax(1)
    assert little.median() > 0.99
    assert evenly.median() < 0.6


@BOTH
def test_some_images_stay_whole_at_a_probability_below_one(mix: type[nn.Module]) -> None:
    batch = own_class_each(400)
    view = mix(num_classes=400, probability=0.3)(batch, 1)
    whole = (view.image == batch.image).flatten(1).all(1)
    assert 230 < whole.sum() < 330
    assert torch.equal(view.target[whole].argmax(1), batch.target[whole])


@BOTH
def test_soft_targets_are_mixed_again(mix: type[nn.Module]) -> None:
    batch = own_class_each(30)
    soft = replace(batch, target=torch.eye(30))
    one, other = mix(num_classes=30)(batch, 1), mix(num_classes=30)(soft, 1)
    assert torch.equal(one.target, other.target)
    twice = mix(num_classes=30)(one, 2)
    assert (twice.target.sum(1) - 1).abs().max() < 1e-6
    assert ((twice.target > 0).sum(1) > 2).any()


@BOTH
def test_a_class_above_num_classes_is_refused(mix: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="num_classes must be above class 2, got 2"):
        mix(num_classes=2)(noise(3), 1)
    soft = replace(noise(3), target=torch.eye(3))
    with pytest.raises(ValueError, match=r"the length of soft targets \(3, 3\), got 4"):
        mix(num_classes=4)(soft, 1)


@BOTH
def test_an_image_without_label_is_refused(mix: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="needs the class of every image, got -100: no label"):
        mix(num_classes=3)(replace(noise(3), target=torch.tensor([0, -100, 2])), 1)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"alpha": 0}, r"alpha must be in 0\.01\.\.100, got 0"),
        ({"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(
    mix: type[nn.Module], arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mix(**{"num_classes": 3, **arguments})


@pytest.mark.parametrize("mix", [Mixup, CutMix])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([[1, 2, 0], [4, 1, 3]]), r"needs one class for each image, got text lines"),
        (torch.tensor([1.0, 2.0]), r"needs class numbers of type int64, got torch\.float32"),
        (torch.tensor([1, 2]).int(), r"needs class numbers of type int64, got torch\.int32"),
    ],
)
def test_targets_that_are_no_classes_are_refused(
    mix: type[nn.Module], target: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mix(num_classes=3)(replace(noise(2), target=target), 1)
