from collections.abc import Callable
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor, nn

import students
from students.attention import Attention
from tests.students.calls import calls_of

KINDS: tuple[Literal["se", "eca", "spatial", "cbam"], ...] = get_args(Attention)


def shares(kind: Literal["se", "eca", "spatial", "cbam"]) -> Tensor:
    """What the attention of a block multiplies its maps (b, c, h, w) with."""
    torch.manual_seed(0)
    network = students.attention_resnet8(5, attention=kind).double().eval()
    for name, parameter in network.named_parameters():
        if ".attention." in name and parameter.ndim > 1:
            nn.init.normal_(parameter)
    path = "layer2.0.bn2.attention"
    call = calls_of(network, torch.randn(2, 3, 8, 8).double())[path][0]
    return call.output / call.input


def over_channels(found: Tensor) -> bool:
    return torch.allclose(found, found[:, :, :1, :1].expand_as(found), rtol=1e-9)


def over_positions(found: Tensor) -> bool:
    return torch.allclose(found, found[:, :1].expand_as(found), rtol=1e-9)


def over_both(found: Tensor) -> bool:
    """A product of one share for each channel and one for each position."""
    product = found[:, :, :1, :1] * found[:, :1] / found[:, :1, :1, :1]
    separable = torch.allclose(found, product, rtol=1e-9)
    return separable and not over_channels(found) and not over_positions(found)


@pytest.mark.parametrize(
    ("kind", "weighs"),
    [
        ("se", over_channels),
        ("eca", over_channels),
        ("spatial", over_positions),
        ("cbam", over_both),
    ],
)
def test_each_kind_weighs_what_its_name_says(
    kind: Literal["se", "eca", "spatial", "cbam"], weighs: Callable[[Tensor], bool]
) -> None:
    found = shares(kind)
    assert weighs(found)
    assert found.min() > 0
    assert found.max() < 1
    assert found.std() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_attention_acts_on_the_residual_before_the_shortcut_is_added(
    kind: Literal["se", "eca", "spatial", "cbam"],
) -> None:
    network = students.attention_resnet20(5, attention=kind)
    calls = calls_of(network, torch.randn(2, 3, 8, 8))
    for stage in ("layer1", "layer2", "layer3"):
        for block in range(3):
            path = f"{stage}.{block}"
            normed = calls[f"{path}.bn2.norm"][0].output
            assert torch.equal(calls[f"{path}.bn2.attention"][0].input, normed)
            total = calls[f"{path}.bn2"][0].output + calls[f"{path}.shortcut"][0].output
            assert torch.equal(total, calls[f"{path}.relu2"][0].input)


def test_a_channel_squeeze_has_the_parameters_of_its_definition() -> None:
    """SE with 8 hidden units, timm's least, has two layers with biases; per stage one block."""
    plain = sum(p.numel() for p in students.resnet8(10).parameters())
    attended = sum(p.numel() for p in students.attention_resnet8(10).parameters())
    assert attended - plain == sum(c * 8 + 8 + 8 * c + c for c in (16, 32, 64))


def test_eca_adds_one_kernel_of_three_to_each_block() -> None:
    plain = sum(p.numel() for p in students.resnet20(10).parameters())
    network = students.attention_resnet20(10, attention="eca")
    assert sum(p.numel() for p in network.parameters()) - plain == 9 * 3


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter(kind: Literal["se", "eca", "spatial", "cbam"]) -> None:
    torch.manual_seed(0)
    network = students.attention_resnet8(10, in_channels=1, attention=kind)
    network(torch.randn(4, 1, 16, 16)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


@pytest.mark.parametrize("name", ["attention_resnet8", "attention_resnet20"])
def test_an_unknown_attention_is_refused(name: str) -> None:
    message = "^attention must be one of se, eca, spatial, cbam, got 'none'$"
    with pytest.raises(ValueError, match=message):
        getattr(students, name)(10, attention="none")
