import copy

import pytest
import torch
from torch import nn

import students
from distill.compress import QuantizedConv2d, Quantizer, quantized
from distill.compress.conventions import PACT, DoReFaActivations, DoReFaWeights

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def made(**settings):
    torch.manual_seed(0)
    return quantized(students.resnet8(num_classes=10), [3, 32, 32], **settings)


def test_names_and_weights_stay_and_steps_are_added():
    torch.manual_seed(0)
    plain = students.resnet8(num_classes=10).state_dict()
    state = made().state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in plain.items())
    assert all(name.endswith("quantizer.step") for name in set(state) - set(plain))


def test_it_is_the_same_object():
    model = students.resnet8(num_classes=10)
    layer = model.get_submodule("layer1.0.conv1")
    assert quantized(model, [3, 32, 32]) is model
    assert model.get_submodule("layer1.0.conv1") is layer
    assert type(layer) is QuantizedConv2d


def test_ends_have_their_own_bits_and_images_are_signed():
    model = made(weights=2, activations=4)
    quantizers = {n: m for n, m in model.named_modules() if isinstance(m, Quantizer)}
    weights = [m.bits for n, m in quantizers.items() if n.endswith("weight_quantizer")]
    assert weights[0] == weights[-1] == 8
    assert set(weights[1:-1]) == {2}
    first = next(m for n, m in quantizers.items() if n.endswith("input_quantizer"))
    assert first.signed
    assert first.bits == 8


def test_each_step_is_calibrated_and_learns():
    model = made(weights=2, activations=2)
    model(IMAGES).square().sum().backward()
    steps = {n: p for n, p in model.named_parameters() if n.endswith(".step")}
    assert all((step > 0).all() for step in steps.values())
    assert all(step.grad is not None and step.grad.abs().sum() > 0 for step in steps.values())


def test_8_bits_are_near_the_float_network_and_2_are_not():
    torch.manual_seed(0)
    expected = students.resnet8(num_classes=10).eval()(IMAGES)
    gap = [(made(weights=b, activations=b).eval()(IMAGES) - expected).norm() for b in (8, 4, 2)]
    assert gap[0] < 0.05 * expected.norm()
    assert gap[0] < gap[1] < gap[2]


def test_a_tap_sees_the_rounded_output():
    model = students.resnet8(num_classes=10)
    seen = []
    model.layer1[0].bn2.register_forward_hook(lambda module, args, output: seen.append(output))
    quantized(model, [3, 32, 32])(IMAGES)
    step = model.layer1[0].bn2.output_quantizer.size()
    assert torch.equal((seen[-1] / step).round() * step, seen[-1])


def test_a_copy_and_a_loaded_network_give_the_same():
    model = made(weights=4, activations=4)
    model(IMAGES)
    expected = model.eval()(IMAGES)
    other = made(weights=4, activations=4).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(copy.deepcopy(model)(IMAGES), expected)
    assert torch.equal(other(IMAGES), expected)


def test_dynamo_follows_it_without_a_break():
    model = made(weights=4, activations=4)
    model(IMAGES)
    model.eval()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
    assert torch.equal(compiled(IMAGES), model(IMAGES))


def test_what_is_skipped_stays_float():
    model = made(skip=["layer2"])
    assert not any(
        isinstance(m, Quantizer) and "conv" in n for n, m in model.layer2.named_modules()
    )
    assert type(model.layer2[0].conv1) is nn.Conv2d


@pytest.mark.parametrize(("name", "reads"), [("dorefa", DoReFaActivations), ("pact", PACT)])
def test_a_convention_rules_inner_layers_and_what_is_not_below_zero(name, reads):
    model = made(weights=4, activations=4, convention=name)
    kinds = {n: type(m) for n, m in model.named_modules() if isinstance(m, Quantizer)}
    weights = [kind for n, kind in kinds.items() if n.endswith("weight_quantizer")]
    assert weights[0] is weights[-1] is Quantizer
    assert set(weights[1:-1]) == {DoReFaWeights}
    assert kinds["layer1.0.conv2.input_quantizer"] is reads
    assert kinds["conv1.input_quantizer"] is kinds["layer1.0.bn2.output_quantizer"] is Quantizer
    model(IMAGES).square().sum().backward()
    learned = {n for n, p in model.named_parameters() if n.endswith("step") and p.grad.abs().sum()}
    assert ("layer1.0.conv2.input_quantizer.step" in learned) == (name == "pact")


def test_without_sums_layers_alone_round():
    assert not [name for name in made(sums=None).state_dict() if "output_quantizer" in name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": 1}, "weights: bits must be a whole number from 2 to 8, got 1"),
        ({"activations": 9}, "activations: bits must be .* got 9"),
        ({"ends": True}, "ends: bits must be .* got True"),
        ({"sums": 16}, "sums: bits must be .* got 16"),
        ({"init": "mes"}, "init: must be mse or lsq, got 'mes'"),
        (
            {"convention": "doref"},
            "convention: must be lsq, dorefa or pact, got 'doref', did you mean",
        ),
        (
            {"convention": "dorefa"},
            "weights: dorefa's integers are odd, and those of 8 bits need 9",
        ),
        ({"skip": ["layr1"]}, "skip: the network has no module 'layr1', did you mean 'layer1'?"),
    ],
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        made(**settings)


def test_twice_and_nothing_are_refused():
    with pytest.raises(ValueError, match="it is quantised already"):
        quantized(made(), [3, 32, 32])
    with pytest.raises(ValueError, match="no convolution or linear layer"):
        quantized(nn.Sequential(nn.BatchNorm2d(3)), [3, 8, 8])
