import pytest
import torch
from torch import nn

from distill.compress.integers import folded, integers
from distill.compress.layers import quantize_layer
from distill.compress.quantizer import Quantizer


def convolution(bits):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3)
    quantize_layer(layer, Quantizer(bits, True, 5), None)
    layer(torch.randn(2, 3, 8, 8))
    return layer


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_integers_times_steps_are_the_rounded_weights(bits):
    layer = convolution(bits)
    own = integers(layer)
    assert torch.equal(
        own.codes * own.step[:, None, None, None], layer.weight_quantizer(layer.weight)
    )
    assert own.codes.min() >= -(2 ** (bits - 1))
    assert own.codes.max() < 2 ** (bits - 1)
    assert torch.equal(own.bias, layer.bias)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_folded_layer_is_the_layer_and_its_batch_norm(bits):
    layer, norm = convolution(bits).double(), nn.BatchNorm2d(5).double().eval()
    random = torch.Generator().manual_seed(1)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
        tensor.copy_(torch.randn(5, generator=random))
    norm.running_var.copy_(torch.rand(5, generator=random) + 0.5)
    assert (norm.weight < 0).any()
    x = torch.randn(2, 3, 8, 8, generator=random, dtype=torch.float64)
    own = folded(layer, norm)
    weight = own.codes * own.step[:, None, None, None]
    assert (own.step > 0).all()
    gap = nn.functional.conv2d(x, weight.double(), own.bias.double()) - norm(layer(x))
    assert gap.abs().max() < 1e-5


def test_only_a_batch_norm_with_statistics_folds():
    for norm in (nn.GroupNorm(1, 5), nn.BatchNorm2d(5, track_running_stats=False)):
        with pytest.raises(ValueError, match="only a batch norm with running statistics"):
            folded(convolution(4), norm)
