from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from jsonargparse import ArgumentParser
from torch import nn

import students
from distill.core.fingerprint import module_fields
from teachers import Resized

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [32, (32, 20), (5, 7), 16])
def test_the_network_sees_images_of_its_size(size: Any) -> None:
    sides = [size, size] if isinstance(size, int) else list(size)
    expected = TF.resize(IMAGES, sides, TF.InterpolationMode.BILINEAR, antialias=True)
    torch.testing.assert_close(Resized(nn.Identity(), size)(IMAGES), expected)


def test_images_of_that_size_are_not_touched() -> None:
    assert Resized(nn.Identity(), 16)(IMAGES) is IMAGES


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_keep_their_type(dtype: torch.dtype) -> None:
    assert Resized(nn.Identity(), 32)(IMAGES.to(dtype)).dtype == dtype


def test_a_transformer_takes_images_of_another_size() -> None:
    teacher = students.vit32(num_classes=3)
    with pytest.raises(ValueError, match="needs images of 32x32 pixels, got 16x16"):
        teacher(IMAGES)
    assert Resized(teacher, 32)(IMAGES).shape == (2, 3)


def test_normalising_before_or_after_is_the_same() -> None:
    network = nn.Identity()
    assert not hasattr(Resized(network, 8), "input_normalization")
    network.input_normalization = ((0.5,), (0.2,))
    resized = Resized(network, 40)
    assert resized.input_normalization == ((0.5,), (0.2,))
    before = resized((IMAGES - 0.5) / 0.2)
    torch.testing.assert_close(before, (resized(IMAGES) - 0.5) / 0.2)


@pytest.mark.parametrize("size", [0, (8, 0), (8, 8, 8)])
def test_sizes_that_are_none_are_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=r"^size must be one or two numbers of at least 1, got"):
        Resized(nn.Identity(), size)


def test_caches_tell_two_sizes_apart() -> None:
    one, two = (module_fields("teacher", Resized(nn.Identity(), size)) for size in (8, 9))
    assert one != two


@pytest.mark.parametrize("size", [32, [32, 24]])
def test_works_as_a_class_path(size: Any) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--teacher", type=nn.Module)
    inner = {"class_path": "students.vit32", "init_args": {"num_classes": 3}}
    spec = {"class_path": "teachers.Resized", "init_args": {"teacher": inner, "size": size}}
    made = parser.instantiate(parser.parse_object({"teacher": spec})).teacher
    assert made.size == ((32, 32) if size == 32 else (32, 24))
