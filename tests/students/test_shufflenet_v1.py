import pytest
import torch

from students import shufflenet_v1
from students.shufflenet_v1 import ChannelShuffle
from tests.students.calls import calls_of


def test_has_the_parameters_of_the_literature() -> None:
    assert sum(p.numel() for p in shufflenet_v1(100).parameters()) == 949_258


@pytest.mark.parametrize("size", [32, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(shufflenet_v1(5), torch.randn(2, 3, size, size))
    for stage, (width, last) in enumerate(((240, 3), (480, 7), (960, 3)), start=1):
        side = size // 2**stage
        output = calls[f"stage{stage}"][0].output
        before = calls[f"stage{stage}.{last}.relu3"][0].input
        assert output.shape == (2, width, side, side)
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), output)
    torch.testing.assert_close(calls["fc"][0].input, calls["stage3"][0].output.mean((2, 3)))
    assert calls["fc"][0].input.shape == (2, 960)


def test_shuffling_deals_each_groups_channels_out_to_all() -> None:
    maps = torch.arange(6.0).view(1, 6, 1, 1)
    assert ChannelShuffle(3)(maps).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert torch.equal(ChannelShuffle(1)(maps), maps)


def test_shortcuts_are_joined_where_the_size_halves_and_added_elsewhere() -> None:
    calls = calls_of(shufflenet_v1(5), torch.randn(2, 3, 32, 32))
    for stage, last in (("stage1", 3), ("stage2", 7), ("stage3", 3)):
        first = calls[f"{stage}.0"][0]
        pooled = torch.nn.functional.avg_pool2d(first.input, 3, 2, padding=1)
        joined = torch.cat([calls[f"{stage}.0.bn3"][0].output, pooled], 1)
        assert torch.equal(first.output, joined.clamp(min=0))
        for unit in range(1, last + 1):
            block, residual = calls[f"{stage}.{unit}"][0], calls[f"{stage}.{unit}.bn3"][0].output
            assert torch.equal(block.output, (block.input + residual).clamp(min=0))


def test_pointwise_convolutions_have_three_groups_but_for_the_one_behind_the_stem() -> None:
    network = shufflenet_v1(5)
    for stage in (network.stage1, network.stage2, network.stage3):
        for unit in stage:
            behind_stem = unit is network.stage1[0]
            assert unit.conv1.groups == unit.shuffle.groups == (1 if behind_stem else 3)
            assert unit.conv3.groups == 3
            assert unit.conv2.groups == unit.conv2.in_channels


def test_the_depthwise_convolution_is_followed_by_a_relu_as_in_the_literatures_code() -> None:
    calls = calls_of(shufflenet_v1(5), torch.randn(2, 3, 32, 32))
    normalised = calls["stage2.1.bn2"][0].output
    assert torch.equal(normalised.clamp(min=0), calls["stage2.1.conv3"][0].input)


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(shufflenet_v1(10), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path
