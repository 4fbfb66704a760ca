import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import distill.augment
from distill.augment import AutoAugment, ColorJitter, MultiScale
from distill.core.fingerprint import (
    difference,
    module_fields,
    tensors_digest,
    view_hash,
)


class Settings:
    """An object that holds a number."""

    def __init__(self, number: float) -> None:
        self.number = number


HELD: dict[str, Callable[[float], object]] = {
    "a number": lambda x: x,
    "a text": str,
    "a list": lambda x: [[x], 3],
    "a dictionary": lambda x: {"a": {"b": x}},
    "a set": lambda x: {"a", x},
    "an array": lambda x: np.array([[x]], np.float32),
    "numpy's number": np.float32,
    "a tensor": lambda x: (torch.tensor(x),),
    "a function's argument": lambda x: partial(nn.functional.leaky_relu, negative_slope=x),
    "a function": lambda x: torch.relu if x < 0.15 else torch.tanh,
    "a class": lambda x: nn.ReLU if x < 0.15 else nn.Tanh,
    "a type": lambda x: torch.float16 if x < 0.15 else torch.bfloat16,
    "an object": lambda x: {"of": Settings(x)},
    "a module in a list": lambda x: [nn.Sequential(nn.Dropout(x))],
}


def holding(*values: object) -> nn.Module:
    module = nn.Identity()
    module.held = values[0] if len(values) == 1 else values
    return module


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


@pytest.mark.parametrize("kind", HELD)
def test_whatever_a_module_holds_is_a_field(kind: str) -> None:
    made = [module_fields("m", holding(HELD[kind](x))) for x in (0.1, 0.1, 0.2)]
    assert made[0] == made[1]
    assert made[0].keys() == made[2].keys() == {"m", "m.held"}
    assert made[0]["m.held"] != made[2]["m.held"]
    assert "0x" not in made[0]["m.held"]


def test_where_things_are_and_modes_are_no_fields() -> None:
    one, other = (
        holding({"file": Path(p), "device": torch.device(d)}, logging.getLogger(p))
        for p, d in (("a", "cpu"), ("b", "meta"))
    )
    other.train(False).requires_grad_(False).register_forward_hook(lambda *_: None)
    assert module_fields("m", one) == module_fields("m", other)


def test_the_order_of_a_set_is_no_field() -> None:
    sets = {0, 8}, {8, 0}
    assert list(sets[0]) != list(sets[1])
    assert module_fields("m", holding(sets[0])) == module_fields("m", holding(sets[1]))


def test_buffers_that_are_not_saved_are_fields() -> None:
    made = []
    for number in (1.0, 2.0):
        module = nn.Identity()
        module.register_buffer("scale", torch.tensor(number), persistent=False)
        made.append(module_fields("m", module))
    assert made[0]["m.scale"] != made[1]["m.scale"]


def test_a_module_counts_wherever_it_stands() -> None:
    """Twice under two names, or in the place of another one that is used twice."""
    a, b = nn.Dropout(0.1), nn.Dropout(0.2)
    made = [nn.Sequential(a, b), nn.Sequential(a, b, b), nn.Sequential(a, b, a)]
    fields = [module_fields("m", network) for network in made]
    assert fields[0] != fields[1] != fields[2]
    assert fields[1]["m.2.p"] == "0.2"


def test_modules_that_lead_back_to_each_other_are_told() -> None:
    def pair(p: float) -> nn.Module:
        outer, apart = nn.Sequential(nn.Dropout(p)), nn.Dropout(p)
        outer[0].owner, outer.apart, apart.owner = [outer], [apart], [outer, apart]
        outer.round = []
        outer.round.append(outer.round)
        return outer

    fields = module_fields("m", pair(0.1))
    assert fields["m.0.owner"] == "[m]"
    assert fields == module_fields("m", pair(0.1))
    assert fields["m.apart"] != module_fields("m", pair(0.2))["m.apart"]


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
