import numpy as np
import pytest
import torch

from distill.tasks.tells import captioned

SHAPES = [((1, 16, 96), 2), ((3, 8, 8), 24), ((3, 300, 200), 1)]


@pytest.mark.parametrize(("shape", "scale"), SHAPES)
def test_an_image_is_enlarged_without_changing_it_above_its_caption(
    shape: tuple[int, int, int], scale: int
) -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    (picture,) = captioned(pixels[None], ["a caption"])
    drawn = np.asarray(picture)
    height, width = shape[1] * scale, shape[2] * scale
    assert drawn.shape == (height + 20, width, 3)
    expected = pixels.expand(3, -1, -1).numpy().transpose(1, 2, 0)
    assert np.array_equal(drawn[:height:scale, ::scale], expected)
    assert drawn[height:].min() < 100


def test_an_image_needs_a_caption() -> None:
    with pytest.raises(ValueError, match="zip"):
        captioned(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), ["one"])
