import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import students
from distill.compress import QuantizedConv2d, QuantizedLinear, quantized
from distill.compress.pack import pack, unpack

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LAYERS = (QuantizedConv2d, QuantizedLinear)


def trained(name, bits, **more):
    torch.manual_seed(0)
    model = quantized(getattr(students, name)(num_classes=10), [3, 32, 32], bits, bits, **more)
    model(IMAGES)
    return model


CASES = [(2, "lsq"), (3, "lsq"), (4, "lsq"), (8, "lsq"), (2, "dorefa"), (3, "pact"), (7, "dorefa")]


@pytest.mark.parametrize(("bits", "convention"), CASES)
def test_the_file_has_the_rounded_weights_bit_for_bit(tmp_path, bits, convention):
    model = trained("resnet8", bits, convention=convention)
    pack(model, tmp_path / "student.packed.safetensors")
    back, state = unpack(tmp_path / "student.packed.safetensors"), model.state_dict()
    assert set(back) == set(state)
    weights = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, LAYERS)}
    for name, tensor in back.items():
        layer = weights.get(name)
        expected = layer.weight_quantizer(layer.weight) if layer else state[name]
        assert torch.equal(tensor, expected), name


@pytest.mark.parametrize(("bits", "least"), [(8, 3.7), (4, 6.5), (2, 11.0)])
def test_resnet20_is_as_small_as_its_bits_say(tmp_path, bits, least):
    save_file(students.resnet20(num_classes=10).state_dict(), tmp_path / "float")
    pack(trained("resnet20", bits), tmp_path / "packed")
    ratio = (tmp_path / "float").stat().st_size / (tmp_path / "packed").stat().st_size
    assert ratio > least


def test_what_cannot_be_packed_is_told(tmp_path):
    with pytest.raises(ValueError, match="no quantised layer"):
        pack(nn.Linear(2, 2), tmp_path / "packed")
    model = quantized(students.resnet8(num_classes=10), [3, 32, 32])
    with pytest.raises(ValueError, match="conv1: its steps were never set"):
        pack(model, tmp_path / "packed")


def test_another_file_is_told(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "other")
    (tmp_path / "text").write_text("no tensors")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match=f"{name} is no packed network"):
            unpack(tmp_path / name)


def sparse(share, bits=None):
    torch.manual_seed(0)
    model = students.resnet20(num_classes=10)
    if bits:
        model = quantized(model, [3, 32, 32], bits, bits)
        model(IMAGES)
    for name, weight in model.named_parameters():
        if weight.dim() == 4 and name != "conv1.weight":
            weight.data.mul_(torch.rand_like(weight) > share)
    return model


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_zeros_come_back_with_all_other_values(tmp_path, share):
    model = sparse(share)
    pack(model, tmp_path / "student.packed.safetensors")
    back = unpack(tmp_path / "student.packed.safetensors")
    assert set(back) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(back[name], tensor), name
        assert back[name].dtype == tensor.dtype


@pytest.mark.parametrize(("bits", "least"), [(None, 7.5), (8, 17.0), (4, 22.0)])
def test_90_percent_of_zeros_and_few_bits_multiply(tmp_path, bits, least):
    save_file(students.resnet20(num_classes=10).state_dict(), tmp_path / "float")
    pack(sparse(0.9, bits), tmp_path / "packed")
    ratio = (tmp_path / "float").stat().st_size / (tmp_path / "packed").stat().st_size
    assert ratio > least


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_zeros_and_codes_come_back_together(tmp_path, bits):
    model = sparse(0.7, bits)
    pack(model, tmp_path / "packed")
    back = unpack(tmp_path / "packed")
    for name, layer in model.named_modules():
        if isinstance(layer, LAYERS):
            expected = layer.weight_quantizer(layer.weight)
            assert torch.equal(back[f"{name}.weight"], expected), name


def test_a_network_of_floats_without_zeros_has_nothing_to_pack(tmp_path):
    with pytest.raises(ValueError, match="no quantised layer and no sparse weight"):
        pack(students.resnet8(num_classes=10), tmp_path / "packed")
