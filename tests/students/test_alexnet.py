import pytest
import torch

from students import alexnet, torchvision_model
from tests.students.calls import calls_of


def test_has_the_convolutions_of_torchvisions_but_for_the_first() -> None:
    def shapes(network: torch.nn.Module) -> list[tuple[int, ...]]:
        return [tuple(p.shape) for p in network.parameters() if p.ndim == 4]

    large, small = shapes(torchvision_model("alexnet", 10)), shapes(alexnet(10))
    assert small[1:] == large[1:]
    assert (small[0], large[0]) == ((64, 3, 5, 5), (64, 3, 11, 11))


@pytest.mark.parametrize(("size", "sides"), [(32, (16, 8, 4)), (28, (14, 7, 4)), (8, (4, 2, 1))])
def test_documented_paths_give_stages_and_embedding(size: int, sides: tuple[int, ...]) -> None:
    calls = calls_of(alexnet(5), torch.randn(2, 3, size, size))
    for stage, (width, side) in enumerate(zip((64, 192, 256), sides, strict=True), start=1):
        assert calls[f"pool{stage}"][0].output.shape == (2, width, side, side)
    for number in range(1, 6):
        before = calls[f"conv{number}"][0].output
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), calls[f"relu{number}"][0].output)
    assert calls["fc3"][0].input.shape == (2, 1024)


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(alexnet(10), torch.randn(2, 3, 32, 32)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path


def test_dropout_stands_in_front_of_the_first_two_layers_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    calls = calls_of(alexnet(10), torch.randn(2, 3, 32, 32))
    assert torch.equal(calls["dropout1"][0].output, calls["fc1"][0].input)
    assert torch.equal(calls["dropout2"][0].output, calls["fc2"][0].input)
    dropped = calls["dropout1"][0].output == 0
    assert 0.4 < dropped[calls["dropout1"][0].input != 0].float().mean() < 0.6
    calls = calls_of(alexnet(10).eval(), torch.randn(2, 3, 32, 32))
    assert torch.equal(calls["dropout1"][0].input, calls["fc1"][0].input)
