import pytest
import torch
from torch import nn

from distill.compress import quantized
from distill.compress.conventions import Convention
from distill.compress.qdq import StoredIntegers, in_float, with_integers

IMAGES = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def made(bits: int = 4, trained: bool = True, convention: Convention = "lsq") -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    layers = (nn.Conv2d(1, 3, 3), norm, nn.ReLU(), nn.Conv2d(3, 3, 1), nn.Flatten())
    network = nn.Sequential(*layers, nn.Linear(48, 5))
    model = quantized(network, [1, 6, 6], bits, bits, convention=convention)
    if trained:
        model(IMAGES)
    with torch.no_grad():  # a least level that a negative scale turns, beyond the bits
        model[0].weight[:, 0, 0, 0] = -100
        norm.weight[0] = -1
    return model.eval()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_stored_integers_are_the_folded_weights_and_fit_their_bits(bits: int) -> None:
    model = made(bits)
    network, found = with_integers(model, IMAGES)
    assert list(found.values()) == [8, bits, 8]
    for name, own in found.items():
        stored = network.get_submodule(name.removesuffix(".codes"))
        assert isinstance(stored, StoredIntegers)
        assert stored.codes.min() >= -(2 ** (own - 1))
        assert stored.codes.max() <= 2 ** (own - 1) - 1
    layer, norm = model[0], model[1]
    ratio = norm.weight / (norm.running_var + norm.eps).sqrt()
    expected = layer.weight_quantizer(layer.weight) * ratio.reshape(-1, 1, 1, 1)
    stored = network[0].stored_weight
    values = stored.codes.float() * stored.step.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(values, expected)


def test_dorefa_s_odd_integers_take_one_bit_more() -> None:
    model = made(2, convention="dorefa")
    network, found = with_integers(model, IMAGES)
    assert list(found.values()) == [8, 3, 8]
    stored = network[3].stored_weight
    values = stored.codes * stored.step[:, None, None, None]
    assert torch.equal(values, model[3].weight_quantizer(model[3].weight))


def test_the_network_itself_stays_as_it_was() -> None:
    model = made()
    expected = model(IMAGES)
    with_integers(model, IMAGES)
    assert torch.equal(model(IMAGES), expected)


def test_a_copy_in_float_rounds_nothing() -> None:
    model = made(2)
    first = in_float(model)[0]
    assert torch.equal(first(IMAGES), nn.functional.conv2d(IMAGES, model[0].weight, model[0].bias))


def test_steps_that_were_never_set_are_told() -> None:
    with pytest.raises(ValueError, match=r"quantizer: its step was never set: train"):
        with_integers(made(trained=False), IMAGES)
