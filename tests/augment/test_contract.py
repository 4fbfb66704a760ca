"""The questions that every augmentation answers."""

import random
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from distill import augment
from distill.core.batch import Batch, Boxes
from distill.core.randomness import fold
from tests.augment.scenes import around, assert_same, columns, noise, rectangles, rows_of

# Settings under which nearly every image changes.
EXAMPLES: dict[str, nn.Module] = {
    "AutoAugment": augment.AutoAugment("cifar10"),
    "ColorJitter": augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "CopyPaste": augment.CopyPaste(probability=0.9),
    "CutMix": augment.CutMix(num_classes=3),
    "Cutout": augment.Cutout(size=5),
    "ElasticTransform": augment.ElasticTransform(probability=0.9),
    "GaussianBlur": augment.GaussianBlur(probability=0.9),
    "GaussianNoise": augment.GaussianNoise((0.05, 0.2), probability=0.9),
    "GridMask": augment.GridMask(),
    "MedianBlur": augment.MedianBlur(probability=0.7),
    "Mixup": augment.Mixup(num_classes=3, alpha=1.0),
    "Mosaic": augment.Mosaic(probability=0.9),
    "MultiScale": augment.MultiScale([9, 13, 17, 30]),
    "Pixelate": augment.Pixelate((2, 5), probability=0.9),
    "RandAugment": augment.RandAugment(2, magnitude=20),
    "RandomAffine": augment.RandomAffine(30, 0.1, (0.8, 1.2), 10, probability=0.9),
    "RandomCrop": augment.RandomCrop(padding=3),
    "RandomErasing": augment.RandomErasing(probability=0.9),
    "RandomHorizontalFlip": augment.RandomHorizontalFlip(),
    "RandomPerspective": augment.RandomPerspective(0.4, probability=0.9),
    "RandomResizedCrop": augment.RandomResizedCrop((0.3, 1.0)),
    "RandomVerticalFlip": augment.RandomVerticalFlip(),
    "TrivialAugment": augment.TrivialAugment(),
}
# These look at more than one image of the batch; MultiScale goes by the step.
MIXING = {"CutMix", "Mixup", "CopyPaste", "Mosaic"}
FEW = {"RandomHorizontalFlip": 2, "RandomVerticalFlip": 2, "MedianBlur": 2, "Pixelate": 5}
CLASSES_ALONE = {"CutMix", "Mixup"}
PLACES_ALONE = {"CopyPaste", "Mosaic"}
ALONE = sorted(set(EXAMPLES) - MIXING)
MOVING = ["ElasticTransform", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "MultiScale"]
MOVING += ["RandomPerspective", "RandomResizedCrop", "RandomVerticalFlip", "CopyPaste", "Mosaic"]
MOVING += ["AutoAugment", "RandAugment", "TrivialAugment"]
EVERY = pytest.mark.parametrize("name", sorted(EXAMPLES))
KEY = fold(0, "augment", 0, 3)


def batch_for(name: str, n: int = 13, dtype: torch.dtype = torch.uint8) -> Batch:
    batch = rectangles(n, dtype=dtype)
    return replace(batch, mask=None, boxes=None) if name in CLASSES_ALONE else batch


def test_every_public_augmentation_is_asked() -> None:
    assert set(EXAMPLES) == set(augment.__all__)
    assert set(EXAMPLES) > MIXING | set(MOVING)


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_view_does_not_depend_on_the_batch_or_its_order(name: str, dtype: torch.dtype) -> None:
    batch, module = batch_for(name, dtype=dtype), EXAMPLES[name]
    together = module(batch, KEY)
    for rows in ([0], [12], [7, 0, 11, 3, 5]):
        assert_same(module(rows_of(batch, rows), KEY), rows_of(together, rows))


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_of_noise_does_not_depend_on_the_batch(name: str, channels: int) -> None:
    batch, module = noise(67, channels, 17, 23, torch.float32), EXAMPLES[name]
    together = module(batch, KEY)
    for rows in ([0], [66], list(range(30, 47))):
        assert_same(module(rows_of(batch, rows), KEY), rows_of(together, rows))


@pytest.mark.parametrize("name", sorted(MIXING))
def test_a_mixed_view_does_not_depend_on_the_order_of_the_batch(name: str) -> None:
    batch, module = batch_for(name), EXAMPLES[name]
    order = [4, 9, 0, 12, 3, 7, 1, 11, 2, 10, 6, 5, 8]
    assert_same(module(rows_of(batch, order), KEY), rows_of(module(batch, KEY), order))


@EVERY
def test_a_key_names_the_views(name: str) -> None:
    batch, module = batch_for(name), EXAMPLES[name]
    assert_same(module(batch, KEY), module(batch, KEY))
    others = [module(batch, fold(0, "augment", 0, epoch)).image for epoch in range(4, 10)]
    this = module(batch, KEY).image
    assert any(this.shape != other.shape or not torch.equal(this, other) for other in others)


@pytest.mark.parametrize("name", sorted(set(ALONE) - {"MultiScale"}))
def test_each_sample_has_its_own_parameters(name: str) -> None:
    one = rows_of(noise(1, height=16, width=16), [0] * 40)
    batch = replace(one, index=torch.arange(40))
    views = {view.numpy().tobytes() for view in EXAMPLES[name](batch, KEY).image}
    assert len(views) >= FEW.get(name, 10)


@EVERY
def test_no_global_generator_is_used(name: str) -> None:
    batch, module = batch_for(name), EXAMPLES[name]
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - it is this generator that must be left alone
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        seen.append(module(batch, KEY))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        assert random.getstate() == before[2]
    assert_same(*seen)


@EVERY
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_type_shape_and_range_are_kept(name: str, dtype: torch.dtype, channels: int) -> None:
    batch = batch_for(name, dtype=dtype)
    batch.image = batch.image[:, :channels]
    image = EXAMPLES[name](batch, KEY).image
    assert image.dtype == dtype
    assert image.device == batch.image.device
    assert image.shape == batch.image.shape or name == "MultiScale"
    assert image.min() >= 0
    assert image.max() <= (255 if dtype == torch.uint8 else 1)


@EVERY
def test_floats_and_bytes_of_the_same_image_get_the_same_view(name: str) -> None:
    module = EXAMPLES[name]
    exact = module(batch_for(name, dtype=torch.float64), KEY).image * 255
    whole = module(batch_for(name), KEY).image
    steps = 4 if name in ("AutoAugment", "RandAugment") else 1  # both operations round
    close = (exact - whole.double()).abs() <= 0.51 * steps
    assert close.double().mean() > (0.9 if name.endswith("Augment") else 0.999)


@EVERY
def test_what_is_given_is_not_changed(name: str) -> None:
    batch = batch_for(name)
    before = deepcopy(batch)
    view = EXAMPLES[name](batch, KEY)
    view.image.fill_(1)
    assert_same(batch, before)


@pytest.mark.parametrize("name", [n for n in EXAMPLES if hasattr(EXAMPLES[n], "probability")])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_nothing_changes_at_probability_zero(name: str, dtype: torch.dtype) -> None:
    batch, module = batch_for(name, dtype=dtype), deepcopy(EXAMPLES[name])
    module.probability = 0.0
    view = module(batch, KEY)
    if name in CLASSES_ALONE:
        assert torch.equal(view.target.argmax(1), batch.target)
        view = replace(view, target=batch.target)
    assert_same(view, batch)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - CLASSES_ALONE))
def test_boxes_and_masks_are_whole(name: str) -> None:
    batch = batch_for(name)
    view = EXAMPLES[name](batch, KEY)
    height, width = view.image.shape[-2:]
    assert view.mask.shape == (13, height, width)
    assert view.mask.dtype == batch.mask.dtype
    assert set(view.mask.unique().tolist()) <= {0, 1, 2, 255}
    assert view.boxes.xyxy.dtype == batch.boxes.xyxy.dtype
    left, top, right, bottom = view.boxes.xyxy.unbind(1)
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= width).all()
    assert (bottom <= height).all()
    assert ((right - left >= 1) & (bottom - top >= 1)).all()
    assert (view.boxes.image < 13).all()
    if name not in MOVING:
        assert torch.equal(view.boxes.xyxy, batch.boxes.xyxy)


@pytest.mark.parametrize("name", sorted(set(MOVING) - PLACES_ALONE))
def test_boxes_and_masks_stay_together(name: str) -> None:
    view = EXAMPLES[name](batch_for(name), KEY)
    height, width = view.image.shape[-2:]
    compared = 0
    twice = name in ("AutoAugment", "RandAugment")  # the box of a turned box is larger
    for box, row, label in zip(*columns(view.boxes), strict=True):
        left, top, right, bottom = box.tolist()
        if min(left, top) >= 1 and right <= width - 1 and bottom <= height - 1:
            seen = around(view.mask[row], int(label))
            gap = np.abs(np.array(seen) - box.numpy()).max()
            assert gap <= (9 if twice else 1.5), (row, label)
            compared += 1
    assert compared >= 8


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - CLASSES_ALONE))
def test_a_batch_may_have_no_boxes_at_all(name: str) -> None:
    empty = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    view = EXAMPLES[name](replace(batch_for(name), boxes=Boxes(*empty)), KEY)
    assert view.boxes.xyxy.shape == (0, 4)


@EVERY
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    batch, module = batch_for(name), EXAMPLES[name]
    other = replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
    assert_same(module(other, KEY), module(batch, KEY))


@pytest.mark.parametrize("name", sorted(CLASSES_ALONE))
def test_mixing_labels_refuses_masks_and_boxes(name: str) -> None:
    for one in ("mask", "boxes"):
        batch = replace(rectangles(2), **{one: None})
        with pytest.raises(ValueError, match=f"{name} mixes class labels, got a mask or boxes"):
            EXAMPLES[name](batch, KEY)


@pytest.mark.parametrize("name", sorted(PLACES_ALONE))
def test_moving_objects_refuses_labels_of_whole_images(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs batches with a mask or boxes, got class"):
        EXAMPLES[name](noise(2), KEY)
