import pytest
import torch
from torch import nn

import distill.augment
from distill.augment import AutoAugment, ColorJitter, MultiScale
from distill.cache.fingerprint import (
    difference,
    module_fields,
    tensors_digest,
    view_hash,
)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_a_change_of_any_one_place_changes_the_hash(dtype: torch.dtype) -> None:
    image = (torch.rand(1, 3, 5, 5) * 200).to(dtype)
    changed = image.repeat(75, 1, 1, 1).flatten(1)
    changed[torch.arange(75), torch.arange(75)] += 1
    hashes = view_hash(torch.cat([image, changed.view(75, 3, 5, 5)])).tolist()
    assert len(set(hashes)) == 76


def test_the_hash_of_an_image_does_not_depend_on_its_batch() -> None:
    images = torch.rand(8, 3, 6, 6)
    whole = view_hash(images)
    assert torch.equal(whole[2:5], view_hash(images[2:5]))
    layout = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole, view_hash(layout))


def test_shape_and_type_are_part_of_an_image() -> None:
    zeros = [torch.zeros(1, 4, 2), torch.zeros(1, 2, 4), torch.zeros(1, 2, 4, dtype=torch.int32)]
    assert len({int(view_hash(each)) for each in zeros}) == 3


def test_a_digest_tells_names_values_types_and_shapes_apart() -> None:
    value = torch.arange(4.0)
    others = [{"b": value}, {"a": value + 1}, {"a": value.double()}, {"a": value.view(2, 2)}]
    digests = {tensors_digest(each) for each in [{"a": value}, *others]}
    assert len(digests) == 5
    assert tensors_digest({"a": value.clone()}) in digests


def test_every_setting_of_an_augmentation_is_a_field() -> None:
    base = module_fields("data.augment.0", ColorJitter(brightness=0.4))
    assert base["data.augment.0"] == "distill.augment.color.ColorJitter"
    other = module_fields("data.augment.0", ColorJitter(brightness=0.5))
    assert difference(base, other) == "data.augment.0.brightness was 0.4, is 0.5"
    sizes = [module_fields("a", MultiScale(sizes)) for sizes in ([8, 10], [8, 12])]
    assert difference(*sizes) == "a.sizes was [8, 10], is [8, 12]"
    told = difference(*(module_fields("a", AutoAugment(p)) for p in ("cifar10", "svhn")))
    assert told is not None
    assert told.startswith("a._pairs was ")


def test_inner_modules_and_their_weights_are_fields() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    before = module_fields("m", network)
    assert before["m.1.p"] == "0.1"
    with torch.no_grad():
        network[0].weight[0, 0] += 1
    told = difference(before, module_fields("m", network))
    assert told is not None
    assert told.startswith("m.0.weight was ")


def test_no_field_holds_an_address() -> None:
    """An address would be another one in the next process."""
    needed = {"CutMix": 3, "Cutout": 8, "Mixup": 3, "MultiScale": [8], "RandomCrop": 1}
    for name in distill.augment.__all__:
        made = getattr(distill.augment, name)(*([needed[name]] if name in needed else []))
        fields = module_fields("a", made)
        assert fields["a"].endswith(f".{name}")
        assert not [value for value in fields.values() if "0x" in value]


def test_no_difference_is_none() -> None:
    assert difference({"a": "1"}, {"a": "1"}) is None
    assert difference({"a": "1"}, {}) == "a was 1, is not there"
