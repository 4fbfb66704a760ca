import copy

import pytest
import torch
from torch import nn

from distill.compress import QuantizedConv2d, QuantizedLinear, Quantizer
from distill.compress.layers import quantize_layer

LAYERS = [
    (nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=2), (2, 4, 8, 8), QuantizedConv2d),
    (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False),
        (2, 4, 8, 8),
        QuantizedConv2d,
    ),
    (nn.Linear(4, 6), (2, 4), QuantizedLinear),
]


@pytest.mark.parametrize(("layer", "shape", "kind"), LAYERS)
def test_it_is_the_layer_with_rounded_weights_and_inputs(layer, shape, kind):
    made = copy.deepcopy(layer)
    quantize_layer(made, Quantizer(4, True, 6), Quantizer(8, True))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    output = made(x)
    assert type(made) is kind
    assert made.weight_quantizer.step.shape == (6,)
    plain = copy.deepcopy(layer)
    with torch.no_grad():
        plain.weight.copy_(made.weight_quantizer(layer.weight))
    assert torch.equal(output, plain(made.input_quantizer(x)))
    assert not torch.equal(output, layer(x))
    assert set(made.state_dict()) - set(layer.state_dict()) == {
        "weight_quantizer.step",
        "input_quantizer.step",
    }


def test_autocast_does_not_reach_the_layer():
    layer = nn.Linear(4, 6)
    quantize_layer(layer, Quantizer(8, True, 6), None)
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
