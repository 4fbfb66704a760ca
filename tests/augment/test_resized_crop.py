import pytest
import torch
import torchvision.transforms.functional as TF

from distill.augment import RandomResizedCrop
from distill.augment.window import random_windows
from tests.augment.scenes import assert_same, noise, rectangles


def test_views_are_the_stretched_crops_of_torchvision() -> None:
    batch, key = noise(8, height=24, width=32, dtype=torch.float32), 5
    view = RandomResizedCrop((0.2, 0.9)).forward(batch, key)
    crops = random_windows(key, batch.index, (24, 32), (0.2, 0.9), (3 / 4, 4 / 3))
    for row, crop in enumerate(zip(*(part.tolist() for part in crops), strict=True)):
        expected = TF.resized_crop(batch.image[row], *crop, [24, 32], antialias=False)
        height, width = crop[2:]
        # torchvision knows nothing of the pixels beside the crop: compare half a pixel inside.
        rows, columns = int(24 / height / 2 + 1), int(32 / width / 2 + 1)
        inside = (slice(None), slice(rows, 24 - rows), slice(columns, 32 - columns))
        torch.testing.assert_close(view.image[row][inside], expected[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_whole_image_is_left_alone(dtype: torch.dtype) -> None:
    batch = rectangles(3, dtype=dtype)
    assert_same(RandomResizedCrop((1.0, 1.0), (1.0, 1.0))(batch, 1), batch)


def test_nothing_is_seen_that_was_not_in_the_image() -> None:
    view = RandomResizedCrop()(rectangles(30), 1)
    assert (view.mask != 255).all()
    assert (view.image > 0).any(1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"area": (0.0, 1.0)},
            r"area must be two ascending numbers in 0\.01\.\.1, got \[0\.0, 1\.0\]",
        ),
        ({"aspect": (2.0, 1.0)}, r"aspect must be two ascending numbers in 0\.1\.\.10, got \[2\.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**arguments)
