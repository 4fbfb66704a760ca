import pytest
import torch
from torch import nn

from students import mobilenet_v2_half
from tests.students.calls import calls_of


def test_has_the_parameters_of_the_literature() -> None:
    assert sum(p.numel() for p in mobilenet_v2_half(100).parameters()) == 812_836


def test_documented_paths_give_stages_and_embedding() -> None:
    calls = calls_of(mobilenet_v2_half(5), torch.randn(2, 3, 32, 32))
    stages = {1: (8, 16), 3: (12, 16), 6: (16, 8), 10: (32, 4), 13: (48, 4), 17: (160, 2)}
    for place, (width, side) in {**stages, 18: (1280, 2)}.items():
        assert calls[f"features.{place}"][0].output.shape == (2, width, side, side)
    assert calls["features.17"][0].output.min() < 0
    assert calls["classifier.1"][0].input.shape == (2, 1280)
    mean = calls["features.18"][0].output.mean((2, 3))
    torch.testing.assert_close(calls["classifier.1"][0].input, mean)


def test_blocks_widen_six_times_and_filter_each_channel_alone() -> None:
    network = mobilenet_v2_half(5)
    for place in range(1, 18):
        block = network.get_submodule(f"features.{place}")
        factor = 1 if place == 1 else 6
        assert block.conv1.out_channels == factor * block.conv1.in_channels
        assert block.conv2.groups == block.conv2.in_channels == block.conv2.out_channels
        assert block.conv2.kernel_size == (3, 3)


def test_an_identity_is_added_where_shapes_agree_and_nowhere_else() -> None:
    network = mobilenet_v2_half(5)
    calls = calls_of(network, torch.randn(2, 3, 32, 32))
    added = []
    for place in range(1, 18):
        block, residual = (calls[f"features.{place}{end}"][0] for end in ("", ".bn3"))
        if block.input.shape == block.output.shape:
            added.append(place)
            assert torch.equal(block.output, block.input + residual.output)
        else:
            assert torch.equal(block.output, residual.output)
    assert added == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


@pytest.mark.parametrize("size", [28, 8])
def test_smaller_images_fit(size: int) -> None:
    assert mobilenet_v2_half(5, 1).eval()(torch.randn(2, 1, size, size)).shape == (2, 5)


def test_convolutions_start_with_the_spread_of_he_et_al() -> None:
    """Variance 2 / fan_out; the last one's 205k samples know the deviation to 0.16 %."""
    torch.manual_seed(0)
    convolutions = [m for m in mobilenet_v2_half(5).modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[-1].weight.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.01)
    stem = mobilenet_v2_half(5, in_channels=1).features[0][0].weight
    assert stem.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.2)  # 144 samples: 6 %


def test_no_relu_ends_at_six() -> None:
    """As in the literature's code, unlike the paper's."""
    network = mobilenet_v2_half(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 9.0)
    calls = calls_of(network, torch.randn(2, 3, 32, 32))
    for path in ("features.0", "features.1.relu1", "features.9.relu2", "features.18"):
        assert calls[path][0].output.max() > 6
        assert calls[path][0].output.min() == 0
