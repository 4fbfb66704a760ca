import math

import numpy as np
import pytest
import torch
from torch import nn

import students
from students.layer_attention import LayerAttention
from tests.students.calls import calls_of


def linear(layer: nn.Linear, row: np.ndarray) -> np.ndarray:
    return layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()


def test_follows_the_definition() -> None:
    torch.manual_seed(0)
    attention = LayerAttention((2, 3, 4)).double()
    stages = [torch.randn(5, c, s, s).double() for c, s in ((2, 4), (3, 2), (4, 2))]
    found = attention(stages).detach().numpy()
    for image in range(5):
        averages = [maps[image].numpy().mean((1, 2)) for maps in stages]
        query = linear(attention.query, averages[-1])
        keys = [linear(k, a) for k, a in zip(attention.keys, averages, strict=True)]
        weights = [math.exp(query @ key / 2) for key in keys]  # 2 = sqrt(4)
        mixed = sum(
            weight / sum(weights) * linear(value, average)
            for weight, value, average in zip(weights, attention.values, averages, strict=True)
        )
        np.testing.assert_allclose(found[image], averages[-1] + mixed, atol=1e-12)


def test_values_of_zero_leave_the_plain_network() -> None:
    torch.manual_seed(0)
    network, plain = students.layer_attention_resnet8(5).eval(), students.resnet8(5).eval()
    for value in network.attention.values:
        nn.init.zeros_(value.weight)
        nn.init.zeros_(value.bias)
    weights = network.state_dict()
    plain.load_state_dict({k: v for k, v in weights.items() if not k.startswith("attention")})
    image = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network(image), plain(image))


@pytest.mark.parametrize("size", [32, 8])
@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (20, 3)])
def test_documented_paths_give_stages_and_embedding(depth: int, blocks: int, size: int) -> None:
    network = getattr(students, f"layer_attention_resnet{depth}")(5)
    calls = calls_of(network, torch.randn(2, 3, size, size))
    for stage, width in enumerate((16, 32, 64), start=1):
        side = size // 2 ** (stage - 1)
        assert calls[f"layer{stage}"][0].output.shape == (2, width, side, side)
        before = calls[f"layer{stage}.{blocks - 1}.relu2"][0].input
        assert torch.equal(before.clamp(min=0), calls[f"layer{stage}"][0].output)
    average = calls["layer3"][0].output.mean((2, 3))
    assert torch.equal(calls["attention.query"][0].input, average)
    assert torch.equal(calls["fc"][0].input, calls["attention"][0].output)
    assert calls["fc"][0].input.shape == (2, 64)
