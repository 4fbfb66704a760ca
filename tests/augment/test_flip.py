import numpy as np
import pytest
import torch

from distill.augment import RandomHorizontalFlip
from distill.randomness import fold, uniform


def pictures(n: int) -> torch.Tensor:
    values = np.random.default_rng(n).integers(0, 256, (n, 3, 4, 5))
    return torch.from_numpy(values.astype(np.uint8))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_chosen_images_are_mirrored_left_to_right(probability: float, dtype: torch.dtype) -> None:
    images, samples, key = pictures(60).to(dtype), torch.arange(60), fold(0, "augment", 3)
    views = RandomHorizontalFlip(probability)(images, samples, key)
    assert views.dtype == dtype
    draws = uniform(key, samples)[:, 0].tolist()
    assert {draw < probability for draw in draws} == {True, False}
    for image, view, draw in zip(images.numpy(), views.numpy(), draws, strict=True):
        assert np.array_equal(view, image[:, :, ::-1] if draw < probability else image)


def test_probability_zero_keeps_and_one_mirrors_all() -> None:
    images, samples = pictures(500), torch.arange(500)
    assert torch.equal(RandomHorizontalFlip(0.0)(images, samples, 1), images)
    mirrored = RandomHorizontalFlip(1.0)(images, samples, 1)
    assert np.array_equal(mirrored.numpy(), images.numpy()[..., ::-1])


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_the_share_of_mirrored_images_is_the_probability(probability: float) -> None:
    images = torch.tensor([0.0, 1.0]).expand(10_000, 1, 1, 2)
    views = RandomHorizontalFlip(probability)(images, torch.arange(10_000), 1)
    assert views[:, 0, 0, 0].mean().item() == pytest.approx(probability, abs=0.025)  # 5 sigma


def test_a_half_is_the_default() -> None:
    images, samples = pictures(50), torch.arange(50)
    half = RandomHorizontalFlip(0.5)(images, samples, 1)
    assert torch.equal(RandomHorizontalFlip()(images, samples, 1), half)


def test_a_view_does_not_depend_on_the_batch_or_its_order() -> None:
    images, samples, flip = pictures(12), torch.arange(12) * 31, RandomHorizontalFlip()
    together = flip(images, samples, 5)
    for image, sample, view in zip(images, samples, together, strict=True):
        assert torch.equal(view[None], flip(image[None], sample[None], 5))
    order = torch.tensor([7, 0, 11, 3])
    assert torch.equal(together[order], flip(images[order], samples[order], 5))


def test_another_key_gives_other_views() -> None:
    images, samples, flip = pictures(30), torch.arange(30), RandomHorizontalFlip()
    assert torch.equal(flip(images, samples, 5), flip(images, samples, 5))
    assert not torch.equal(flip(images, samples, 5), flip(images, samples, 6))


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_zero_to_one_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match=f"probability must be in 0..1, got {probability}"):
        RandomHorizontalFlip(probability)
