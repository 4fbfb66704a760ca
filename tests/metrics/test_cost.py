import time
from collections.abc import Callable

import pytest
import torch
from timm.layers import Attention
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

import students
from distill.metrics import cpu_latency_ms, flops
from distill.metrics.cost import dummy_image
from tests.fixtures.networks import tiny


def test_a_convolution_has_two_operations_per_multiply_add() -> None:
    # 4x4 outputs, 6 channels, each a sum over a group of 2 channels of 3x3; the bias is not one.
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    assert flops(convolution, torch.zeros(1, 4, 8, 8)) == 2 * (4 * 4 * 6) * (2 * 3 * 3)


def test_attention_is_counted() -> None:
    tokens, d, heads = 7, 12, 3
    projections = tokens * d * 3 * d + tokens * d * d
    products = 2 * heads * tokens * tokens * (d // heads)
    attention = Attention(d, num_heads=heads)
    assert flops(attention, torch.zeros(1, tokens, d)) == 2 * (projections + products)


def test_an_lstm_is_counted() -> None:
    """Four gates, each of the input and of the state before, in both directions."""
    steps, d, hidden = 7, 12, 5
    lstm = nn.LSTM(d, hidden, batch_first=True, bidirectional=True)
    expected = 2 * 2 * steps * 4 * hidden * (d + hidden)
    assert flops(lstm, torch.zeros(1, steps, d)) == expected
    assert flops(lstm, torch.zeros(3, steps, d)) == 3 * expected


@pytest.mark.parametrize("groups", [1, 2])
def test_a_deformable_convolution_counts_as_a_plain_one_of_its_shape(groups: int) -> None:
    offset = torch.zeros(2, 2 * 9, 4, 4)
    image, weight = torch.zeros(2, 4, 8, 8), torch.zeros(6, 4 // groups, 3, 3)

    class Deformable(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return deform_conv2d(image, offset, weight, stride=2, padding=1)

    # 4x4 outputs of two images, 6 channels, each a sum over a group of channels of 3x3.
    assert flops(Deformable(), image) == 2 * (2 * 4 * 4 * 6) * (4 // groups * 3 * 3)


def resnet_operations(blocks: int) -> int:
    """Of a CIFAR ResNet with ``blocks`` per stage, its last stage deformable, ten classes."""
    total, inner, side = 2 * 32 * 32 * 16 * 3 * 9, 16, 32
    for outer in (16, 32, 64):
        for block in range(blocks):
            narrower = block == 0 and outer > 16
            side = side // 2 if narrower else side
            places = side * side
            for channels in (inner, outer):
                total += 2 * places * outer * channels * 9
                if outer == 64:  # two offsets and a mask for each of nine samples
                    total += 2 * places * 27 * channels * 9
            if narrower:
                total += 2 * places * outer * inner  # the shortcut
            inner = outer
    return total + 2 * 64 * 10


@pytest.mark.parametrize(
    ("make", "blocks"), [(students.deform_resnet8, 1), (students.deform_resnet20, 3)]
)
def test_deformable_students_are_counted_by_their_definition(
    make: Callable[[int], nn.Module], blocks: int
) -> None:
    expected = {1: 27_989_248, 3: 92_574_976}[blocks]
    assert resnet_operations(blocks) == expected
    assert flops(make(10), torch.zeros(1, 3, 32, 32)) == expected


def test_counting_leaves_modes_and_statistics_alone() -> None:
    network = tiny().train()
    network.dropout.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert flops(network, torch.ones(2, 1, 8, 8)) == 2 * flops(network, torch.ones(1, 1, 8, 8))
    assert cpu_latency_ms(network, torch.ones(1, 1, 8, 8)) > 0
    assert network.training
    assert network.bn.training
    assert not network.dropout.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


class Sleeper(nn.Module):
    """Takes 5 ms, but 50 ms the first eight times."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        time.sleep(0.05 if self.calls <= 8 else 0.005)
        return image


def test_latency_is_the_median_after_warming_up() -> None:
    sleeper = Sleeper()
    # The mean would be above 12; sleeping is never shorter than asked, but longer under load.
    assert 5 <= cpu_latency_ms(sleeper, torch.ones(1, 1, 2, 2)) < 11
    assert 14 < sleeper.calls <= 33


def test_the_dummy_image_is_the_same_each_time() -> None:
    assert torch.equal(dummy_image((3, 4, 4)), dummy_image((3, 4, 4)))
    assert dummy_image((3, 4, 4)).unique().numel() == 48
