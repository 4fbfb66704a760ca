import pytest
import torch
from torch import nn

import students
from distill.compress import QuantizedConv2d, QuantizedLinear, pruned, quantized
from distill.compress.cost import bit_costs, float_bytes, is_quantized
from distill.metrics import cost

IMAGE = cost.dummy_image((1, 6, 6))


def small(weights: int = 4, activations: int = 2, sums: int | None = 8) -> nn.Module:
    """A chain: the ends 8 bit, the layer between them ``weights`` and ``activations``."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 5))
    return quantized(nn.Sequential(*layers), [1, 6, 6], weights, activations, 8, sums)


def test_bits_are_means_over_elements_and_operations_products_of_bits() -> None:
    found = bit_costs(small(), IMAGE)
    weights, read = (18, 54, 60), (36, 32, 12)
    macs = (16 * 2 * 9, 4 * 3 * 18, 60)
    expected = [
        sum(n * b for n, b in zip(sizes, bits, strict=True)) / sum(sizes)
        for sizes, bits in ((weights, (8, 4, 8)), (read, (8, 2, 8)))
    ]
    assert list(found["bits"].values()) == pytest.approx(expected, abs=0.01)
    assert found["bops"] == macs[0] * 64 + macs[1] * 8 + macs[2] * 64


def test_float_has_1024_bit_operations_per_multiply_add() -> None:
    network = students.resnet8(num_classes=10)
    image = cost.dummy_image((3, 32, 32))
    found = bit_costs(network, image)
    assert found["bops"] == cost.flops(network, image) // 2 * 1024
    assert found["bits"] == {"weights": 32.0, "activations": 32.0}
    assert not is_quantized(network)


def test_what_reads_rounded_sums_reads_their_bits() -> None:
    image = cost.dummy_image((3, 32, 32))
    made = [
        quantized(students.resnet8(num_classes=10), [3, 32, 32], 8, 8, 8, sums) for sums in (4, 8)
    ]
    few, many = (bit_costs(network, image)["bits"]["activations"] for network in made)
    assert few < many == 8


def test_zeros_are_counted_where_rounding_makes_them() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0, 0, 1]] * 4))
    assert bit_costs(network, torch.ones(1, 4))["nonzero"] == 0.25
    model = small(weights=2)
    layers = [m for m in model if isinstance(m, QuantizedConv2d | QuantizedLinear)]
    values = torch.cat([layer.weight_quantizer(layer.weight).flatten() for layer in layers])
    share = (values != 0).float().mean().item()
    assert bit_costs(model, IMAGE)["nonzero"] == pytest.approx(share, abs=1e-4)
    assert share < 1


def test_bytes_of_float_are_without_steps_and_with_the_widths_that_are_left() -> None:
    network = students.resnet8(num_classes=10)
    plain = float_bytes(network)
    assert plain == pytest.approx(sum(t.nbytes for t in network.state_dict().values()), rel=0.05)
    assert float_bytes(quantized(network, [3, 32, 32])) == plain
    cut = pruned(students.resnet8(num_classes=10), [3, 32, 32], 0.5)
    assert float_bytes(cut) < 0.8 * plain
