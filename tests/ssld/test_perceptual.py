import numpy as np
import pytest
import torch
from scipy.fft import dct

from distill.ssld.perceptual import BITS, mirrored, nearest, perceptual_hash
from tests.fixtures.photographs import crops, jpeg


def differ(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return (perceptual_hash(one) ^ perceptual_hash(two)).sum(1)


def by_definition(image: np.ndarray) -> list[bool]:
    """With scipy's transform, scaled to amplitudes of waves, wave by wave."""
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    height, width = grey.shape
    table = dct(dct(grey, axis=0), axis=1) / (height * width)
    table[0] /= 2
    table[:, 0] /= 2
    waves = [table[u, v] for u in range(8) for v in range(8)][1:]
    clear = max(2.0, 0.5 * np.sqrt(np.mean(np.square(waves))))
    return [wave > clear for wave in waves] + [wave < -clear for wave in waves]


def test_it_is_what_its_definition_says() -> None:
    images = crops(48, 160)
    for image, bits in zip(images, perceptual_hash(images), strict=True):
        assert bits.tolist() == by_definition(image.permute(1, 2, 0).numpy())


def test_a_single_wave_sets_its_bit_alone() -> None:
    place = (torch.arange(32) + 0.5) * torch.pi / 32
    wave = torch.outer(torch.cos(2 * place), torch.cos(3 * place))
    image = (128 + 60 * wave).round().byte()[None, None]
    bits, opposite = perceptual_hash(image)[0], perceptual_hash(255 - image)[0]
    assert bits.nonzero().flatten().tolist() == [2 * 8 + 3 - 1]
    assert opposite.nonzero().flatten().tolist() == [63 + 2 * 8 + 3 - 1]


def test_brightness_does_not_change_it() -> None:
    images = crops(64) // 2
    assert differ(images, images + 100).max() == 0


def test_flat_images_are_alike() -> None:
    levels = torch.tensor([0, 40, 255], dtype=torch.uint8)
    flat = levels[:, None, None, None].expand(3, 3, 16, 16).contiguous()
    flat[0, 0, 3, 3] = 9
    assert perceptual_hash(flat).sum() == 0


@pytest.mark.parametrize("quality", [90, 75])
def test_jpeg_changes_few_bits_and_other_images_have_others(quality: int) -> None:
    images = crops(64)
    again = torch.stack([jpeg(image, quality) for image in images])
    assert differ(images, again).max() <= 6
    bits = perceptual_hash(images)
    structured = bits[bits.sum(1) >= 12]
    between = (structured[:, None] ^ structured).sum(2)
    between.fill_diagonal_(BITS)
    assert len(structured) > 50
    assert between.min() > 6


def test_a_resized_image_keeps_its_hash_nearly() -> None:
    images = crops(64)
    half = images.double().reshape(len(images), 3, 32, 2, 32, 2).mean((3, 5)).round().byte()
    assert differ(images, half).max() <= 6


def test_mirrored_is_the_hash_of_the_mirrored_image() -> None:
    images = crops(40)
    assert torch.equal(mirrored(perceptual_hash(images)), perceptual_hash(images.flip(-1)))


def test_grey_images_are_taken_as_they_are() -> None:
    grey = crops(32)[:, :1]
    assert differ(grey, grey.expand(-1, 3, -1, -1)).max() == 0


@pytest.mark.parametrize(
    "images", [torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8).byte(), torch.zeros(2, 2, 8, 8).byte()]
)
def test_other_images_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"images need shape \(b, 1 or 3, h, w\) and type uint8"):
        perceptual_hash(images)


def test_nearest_is_the_first_of_the_nearest_by_counting() -> None:
    random = np.random.default_rng(0)
    bits, others = random.random((700, 9)) < 0.5, random.random((40, 9)) < 0.5
    distance, row = nearest(torch.from_numpy(bits), torch.from_numpy(others))
    for place in range(700):
        counted = [int(np.sum(bits[place] != other)) for other in others]
        assert int(distance[place]) == min(counted)
        assert int(row[place]) == counted.index(min(counted))
