import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import students
from students.deformable import DeformableConv2d
from tests.students.calls import calls_of

VERSIONS: tuple[Literal["v1", "v2"], ...] = ("v1", "v2")


def integers(*shape: int) -> Tensor:
    """Small ones, whose sums and products float32 holds exactly in any order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-3, 4, shape, generator=generator).float()


def sampled(maps: np.ndarray, y: float, x: float) -> np.ndarray:
    """Bilinear interpolation (c,) of maps (c, h, w), zero outside."""
    total = np.zeros(len(maps))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < maps.shape[1] and 0 <= column < maps.shape[2]:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                total += share * maps[:, row, column]
    return total


def deformed(layer: DeformableConv2d, image: np.ndarray, stride: int) -> np.ndarray:
    """The papers' sum over nine moved, and for version 2 weighed, samples."""
    weight = layer.conv.weight.detach().numpy()
    predicted = layer.offset(torch.from_numpy(image)).detach().numpy()
    found = np.zeros((len(image), len(weight), *predicted.shape[2:]))
    for b, y, x in np.ndindex(len(image), *predicted.shape[2:]):
        for place in range(9):
            dy, dx = predicted[b, 2 * place : 2 * place + 2, y, x]
            row, column = divmod(place, 3)
            sample = sampled(image[b], y * stride - 1 + row + dy, x * stride - 1 + column + dx)
            if len(predicted[b]) == 27:
                sample = sample / (1 + math.exp(-predicted[b, 18 + place, y, x]))
            found[b, :, y, x] += weight[:, :, row, column] @ sample
    return found


@pytest.mark.parametrize("stride", [1, 2])
def test_version_1_starts_exactly_as_the_plain_convolution(stride: int) -> None:
    layer, maps = DeformableConv2d(4, 5, stride, "v1"), integers(2, 4, 6, 6)
    layer.conv.weight.data = integers(5, 4, 3, 3)
    assert torch.equal(layer(maps), F.conv2d(maps, layer.conv.weight, stride=stride, padding=1))


@pytest.mark.parametrize("stride", [1, 2])
def test_version_2_starts_exactly_as_half_of_the_plain_convolution(stride: int) -> None:
    layer, maps = DeformableConv2d(4, 5, stride, "v2"), integers(2, 4, 6, 6)
    layer.conv.weight.data = integers(5, 4, 3, 3)
    assert torch.equal(layer(maps), F.conv2d(maps, layer.conv.weight, stride=stride, padding=1) / 2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_follows_the_definition_with_any_offsets(version: Literal["v1", "v2"], stride: int) -> None:
    torch.manual_seed(0)
    layer = DeformableConv2d(3, 4, stride, version).double()
    nn.init.normal_(layer.offset.weight, std=0.3)
    nn.init.normal_(layer.offset.bias, std=0.5)
    image = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    assert layer.offset(image)[:, :18].abs().max() > 2
    expected = deformed(layer, image.numpy(), stride)
    np.testing.assert_allclose(layer(image).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("version", VERSIONS)
def test_computes_in_float32_from_bfloat16(version: Literal["v1", "v2"]) -> None:
    torch.manual_seed(0)
    layer = DeformableConv2d(3, 4, 1, version)
    nn.init.normal_(layer.offset.weight, std=0.3)
    maps = torch.randn(2, 3, 6, 6).bfloat16()
    expected = layer(maps.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(maps)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_the_convolutions_of_the_last_stage_are_deformable(
    version: Literal["v1", "v2"],
) -> None:
    network = students.deform_resnet20(10, version=version)
    found = {p for p, m in network.named_modules() if isinstance(m, DeformableConv2d)}
    assert found == {f"layer3.{block}.conv{conv}" for block in range(3) for conv in (1, 2)}
    offset = network.layer3[0].conv1.offset
    assert offset.out_channels == {"v1": 18, "v2": 27}[version]
    assert offset.kernel_size == (3, 3)


def test_a_new_network_of_version_1_is_the_plain_one() -> None:
    """Up to rounding: the two convolutions add in another order."""
    plain, deform = students.resnet8(5).eval(), students.deform_resnet8(5, version="v1").eval()
    weights = deform.state_dict()
    plain.load_state_dict(
        {k.replace(".conv.weight", ".weight"): v for k, v in weights.items() if "offset" not in k}
    )
    image = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(deform(image), plain(image), rtol=1e-4, atol=1e-6)


def test_documented_paths_lead_to_the_offsets() -> None:
    calls = calls_of(students.deform_resnet8(5), torch.randn(2, 3, 16, 16))
    for conv in ("conv1", "conv2"):
        assert calls[f"layer3.0.{conv}.offset"][0].output.shape == (2, 27, 4, 4)
    assert calls["layer3"][0].output.shape == (2, 64, 4, 4)


def test_convolutions_start_with_the_spread_of_he_et_al() -> None:
    """Variance 2 / fan_out; 37k samples know the deviation to 0.4 %."""
    torch.manual_seed(0)
    weight = students.deform_resnet8(10).layer3[0].conv2.conv.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


def test_gradients_on_a_cpu_are_the_same_bits_each_time() -> None:
    network, image = students.deform_resnet8(5), torch.randn(8, 3, 16, 16)
    found = []
    for _ in range(2):
        network.zero_grad()
        network(image).square().sum().backward()
        found.append([p.grad.clone() for p in network.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["deform_resnet8", "deform_resnet20"])
def test_an_unknown_version_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^version must be 'v1' or 'v2', got 'v3'$"):
        getattr(students, name)(10, version="v3")
