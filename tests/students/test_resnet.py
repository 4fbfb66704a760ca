import math

import pytest
import torch
from torch import nn

import students
from tests.students.calls import calls_of

DEPTHS = {f"resnet{depth}": depth for depth in (8, 14, 20, 32, 44, 56, 110)}
DEPTHS |= {"resnet8x4": 8, "resnet32x4": 32}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet8", 83_892),
        ("resnet20", 278_324),
        ("resnet56", 861_620),
        ("resnet110", 1_736_564),
        ("resnet8x4", 1_233_540),
        ("resnet32x4", 7_433_860),
    ],
)
def test_has_the_parameters_of_the_literature(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in getattr(students, name)(100).parameters()) == parameters


@pytest.mark.parametrize("name", DEPTHS)
def test_name_counts_the_layers(name: str) -> None:
    """Weighted layers on the longest path, so without the 1x1 shortcuts."""
    network = getattr(students, name)(10)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) + 1 == DEPTHS[name]


@pytest.mark.parametrize("size", [32, 8])
@pytest.mark.parametrize(
    ("name", "blocks", "widths"), [("resnet14", 2, (16, 32, 64)), ("resnet8x4", 1, (64, 128, 256))]
)
def test_documented_paths_give_stages_and_embedding(
    name: str, blocks: int, widths: tuple[int, ...], size: int
) -> None:
    calls = calls_of(getattr(students, name)(5), torch.randn(2, 3, size, size))
    for stage, width in enumerate(widths, start=1):
        side = size // 2 ** (stage - 1)
        assert calls[f"layer{stage}"][0].output.shape == (2, width, side, side)
        assert calls[f"layer{stage}.{blocks - 1}.relu2"][0].input.shape == (2, width, side, side)
    assert calls["fc"][0].input.shape == (2, widths[-1])
    assert calls["fc"][0].output.shape == (2, 5)


def test_every_block_is_rectified_after_its_shortcut_is_added() -> None:
    calls = calls_of(students.resnet14(10), torch.randn(4, 3, 8, 8))
    for stage in ("layer1", "layer2", "layer3"):
        for block in (f"{stage}.0", f"{stage}.1"):
            before = calls[f"{block}.relu2"][0].input
            total = calls[f"{block}.bn2"][0].output + calls[f"{block}.shortcut"][0].output
            assert torch.equal(before, total)
            assert before.min() < 0
            assert torch.equal(before.clamp(min=0), calls[block][0].output)
        assert torch.equal(calls[f"{stage}.1"][0].output, calls[stage][0].output)


def test_embedding_is_the_mean_over_positions() -> None:
    calls = calls_of(students.resnet8(10), torch.randn(2, 3, 16, 16))
    expected = calls["layer3"][0].output.mean((2, 3))
    torch.testing.assert_close(calls["fc"][0].input, expected)


@pytest.mark.parametrize("name", ["resnet14", "resnet8x4"])
def test_calls_every_module_once_and_nothing_in_place(name: str) -> None:
    for path, calls in calls_of(getattr(students, name)(10), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path


@pytest.mark.parametrize("name", ["resnet14", "resnet8x4"])
def test_gradient_reaches_every_parameter(name: str) -> None:
    network = getattr(students, name)(10, in_channels=1)
    network(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_shortcuts_have_weights_only_where_the_shape_changes() -> None:
    names = [name for name, _ in students.resnet14(10).named_parameters() if "shortcut" in name]
    assert {name.split(".shortcut")[0] for name in names} == {"layer2.0", "layer3.0"}


def test_convolutions_start_with_the_spread_of_he_et_al() -> None:
    """Variance 2 / fan_out; of 295k samples the standard deviation is known to 0.13 %."""
    torch.manual_seed(0)
    weight = students.resnet8x4(10).layer3[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
