import time

import torch
from timm.layers import Attention
from torch import Tensor, nn

from distill.metrics import cpu_latency_ms, flops
from distill.metrics.cost import dummy_image
from tests.networks import tiny


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
