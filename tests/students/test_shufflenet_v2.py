import pytest
import torch

from students import shufflenet_v2, torchvision_model
from tests.students.calls import calls_of


def test_has_the_parameters_of_the_literature() -> None:
    assert sum(p.numel() for p in shufflenet_v2(100).parameters()) == 1_355_528


@pytest.mark.parametrize("size", [32, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(shufflenet_v2(5), torch.randn(2, 3, size, size))
    for stage, width in ((2, 116), (3, 232), (4, 464)):
        side = size // 2 ** (stage - 1)
        assert calls[f"stage{stage}"][0].output.shape == (2, width, side, side)
    assert calls["conv5"][0].output.shape == (2, 1024, size // 8, size // 8)
    before = calls["conv5.1"][0].output_then
    assert before.min() < 0
    assert torch.equal(before.clamp(min=0), calls["conv5"][0].output)
    torch.testing.assert_close(calls["fc"][0].input, calls["conv5"][0].output.mean((2, 3)))


def test_only_the_stem_differs_from_torchvisions() -> None:
    large = torchvision_model("shufflenet_v2_x1_0", 10).state_dict()
    small = shufflenet_v2(10).state_dict()
    assert small.keys() == large.keys()
    assert [k for k in small if small[k].shape != large[k].shape] == ["conv1.0.weight"]
    assert small["conv1.0.weight"].shape == (24, 3, 1, 1)
