import math

import pytest
import torch
from torch import nn

import students
from tests.students.calls import calls_of


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("wrn_16_1", 180_916),
        ("wrn_16_2", 703_284),
        ("wrn_40_1", 569_780),
        ("wrn_40_2", 2_255_156),
    ],
)
def test_has_the_parameters_of_the_literature(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in getattr(students, name)(100).parameters()) == parameters


@pytest.mark.parametrize(("name", "depth"), [("wrn_16_2", 16), ("wrn_40_1", 40)])
def test_name_counts_the_layers(name: str, depth: int) -> None:
    """The paper's depth 6 n + 4: 6 n block convolutions, the stem, two shortcuts, the classifier.

    With widening 1 the first stage has no projecting shortcut, but the name still counts it.
    """
    convolutions = [m for m in getattr(students, name)(10).modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) - 1 == depth - 4


@pytest.mark.parametrize("size", [32, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(students.wrn_16_2(5), torch.randn(2, 3, size, size))
    ends = ("layer2.0", "layer3.0", "")
    for stage, (width, end) in enumerate(zip((32, 64, 128), ends, strict=True), start=1):
        shape = (2, width, size // 2 ** (stage - 1), size // 2 ** (stage - 1))
        batch_norm, relu = (f"{end}.bn1", f"{end}.relu1") if end else ("bn", "relu")
        raw, before = calls[f"layer{stage}"][0].output, calls[batch_norm][0].output
        assert raw.shape == before.shape == shape
        assert torch.equal(raw, calls[batch_norm][0].input)
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), calls[relu][0].output)
    assert calls["fc"][0].input.shape == (2, 128)
    assert calls["fc"][0].output.shape == (2, 5)


def test_projecting_shortcuts_start_from_the_activated_maps() -> None:
    calls = calls_of(students.wrn_16_1(10), torch.randn(2, 3, 8, 8))
    for block in ("layer2.0", "layer3.0"):
        assert torch.equal(calls[f"{block}.shortcut"][0].input, calls[f"{block}.relu1"][0].output)
        total = calls[f"{block}.conv2"][0].output + calls[f"{block}.shortcut"][0].output
        assert torch.equal(calls[block][0].output, total)


def test_other_shortcuts_pass_the_raw_maps() -> None:
    calls = calls_of(students.wrn_16_1(10), torch.randn(2, 3, 8, 8))
    for block in ("layer1.0", "layer1.1", "layer2.1", "layer3.1"):
        total = calls[f"{block}.conv2"][0].output + calls[block][0].input
        assert torch.equal(calls[block][0].output, total)


def test_embedding_is_the_mean_over_positions() -> None:
    calls = calls_of(students.wrn_16_1(10), torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(calls["fc"][0].input, calls["relu"][0].output.mean((2, 3)))


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(students.wrn_16_2(10), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path


def test_gradient_reaches_every_parameter() -> None:
    network = students.wrn_16_2(10, in_channels=1)
    network(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_convolutions_start_with_the_spread_of_he_et_al() -> None:
    """Variance 2 / fan_out; of 74k samples the standard deviation is known to 0.26 %."""
    torch.manual_seed(0)
    weight = students.wrn_16_2(10).layer3[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.02)
