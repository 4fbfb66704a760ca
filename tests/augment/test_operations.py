import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF

from distill.augment.operations import AUTO, OPERATIONS, WIDE, Space, operate
from distill.core.batch import Batch
from tests.augment.scenes import assert_same, noise, rectangles, rows_of


def one(name: str, batch: Batch, strength: float, space: Space = AUTO) -> Batch:
    n = len(batch.image)
    operation = torch.full((n,), OPERATIONS.index(name))
    return operate(batch, operation, torch.full((n,), strength), space)


def moved(image: torch.Tensor, degrees: float = 0, shift: tuple = (0, 0), shear: tuple = (0, 0)):
    angles = [float(np.rad2deg(np.arctan(slope))) for slope in shear]
    return TF.affine(image, degrees, list(shift), 1.0, angles, TF.InterpolationMode.BILINEAR)


@pytest.mark.parametrize("strength", [-1.0, -0.4, 0.7])
@pytest.mark.parametrize("space", [AUTO, WIDE])
def test_movements_are_those_of_torchvision(strength: float, space: Space) -> None:
    batch = noise(1, height=33, width=33, dtype=torch.float32)
    reach = round(strength * (150 / 331 * 33 if space is AUTO else 32))
    slope, degrees = strength * (0.3 if space is AUTO else 0.99), strength * space.degrees
    expected = {
        "Rotate": moved(batch.image, degrees),
        "TranslateX": moved(batch.image, shift=(reach, 0)),
        "TranslateY": moved(batch.image, shift=(0, reach)),
        # torchvision names the shear by the angle of the axis that stays, against ours
        "ShearX": moved(batch.image, shear=(-slope, 0)),
        "ShearY": moved(batch.image, shear=(0, -slope)),
    }
    inside = (slice(None), slice(None), slice(12, 21), slice(12, 21))
    for name, image in expected.items():
        view = one(name, batch, strength, space).image
        torch.testing.assert_close(view[inside], image[inside], atol=2e-3, rtol=0, msg=name)


# 0.7 of four bits are 2.8: three, as the paper's code rounds.
@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.6, 0.7])
def test_changes_of_pixels_are_those_of_torchvision(strength: float) -> None:
    batch = noise(3)
    size, factor = abs(strength), 1 + 0.9 * strength
    expected = {
        "Brightness": TF.adjust_brightness(batch.image, factor),
        "Color": TF.adjust_saturation(batch.image, factor),
        "Contrast": torch.cat([TF.adjust_contrast(image[None], factor) for image in batch.image]),
        "Sharpness": TF.adjust_sharpness(batch.image, factor),
        "Posterize": TF.posterize(batch.image, 8 - round(4 * size)),
        "Solarize": TF.solarize(batch.image, 255 * (1 - size)),
        "AutoContrast": TF.autocontrast(batch.image),
        "Equalize": TF.equalize(batch.image),
        "Invert": TF.invert(batch.image),
        "Identity": batch.image,
    }
    for name, image in expected.items():
        gap = one(name, batch, strength).image.int() - image.int()
        assert gap.abs().max() <= 2, name  # torchvision rounds down, greys too


def test_every_operation_is_known() -> None:
    moves = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Identity"}
    changes = {"Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize"}
    assert set(OPERATIONS) == moves | changes | {"AutoContrast", "Equalize", "Invert"}
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 15


def test_each_image_gets_its_own_operation() -> None:
    batch = rectangles(30)
    operation = torch.arange(30) % len(OPERATIONS)
    strength = torch.linspace(-1, 1, 30)
    together = operate(batch, operation, strength, WIDE)
    for row in range(30):
        alone = operate(
            rows_of(batch, [row]), operation[row : row + 1], strength[row : row + 1], WIDE
        )
        assert_same(alone, rows_of(together, [row]))


@pytest.mark.parametrize("name", ["Identity", "ShearX", "Rotate", "Brightness", "TranslateY"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_strength_changes_nothing(name: str, dtype: torch.dtype) -> None:
    batch = rectangles(2, dtype=dtype)
    assert_same(one(name, batch, 0.0), batch)
