import pytest
import torch

from distill.modules import Normalization


def test_bytes_and_unit_floats_give_the_same() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    normalize = Normalization([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    torch.testing.assert_close(normalize(image), normalize(image.float() / 255))


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    image = torch.rand(2, 2, 3, 3)
    result = Normalization([0.25, 0.5], [0.5, 2.0])(image)
    for channel, (mean, std) in enumerate([(0.25, 0.5), (0.5, 2.0)]):
        torch.testing.assert_close(result[:, channel], (image[:, channel] - mean) / std)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5, 0.5]), ([0.5], [0.0]), ([0.5], [-1.0])])
def test_what_cannot_normalise_is_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="std"):
        Normalization(mean, std)
