import pytest
import torch

import students
from tests.students.calls import calls_of


def test_has_the_parameters_of_the_original() -> None:
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    norms = 2 * (64 + 3 * 128 + 256 + 3 * 512)
    parameters = sum(p.numel() for p in students.resnet9(10).parameters())
    assert parameters == convolutions + norms + 512 * 10


@pytest.mark.parametrize("size", [32, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(students.resnet9(5, width=4), torch.randn(2, 3, size, size))
    assert calls["stem"][0].output.shape == (2, 4, size, size)
    for stage, (channels, scale) in enumerate([(8, 1), (16, 2), (32, 4)], start=1):
        output = calls[f"layer{stage}"][0].output
        before = calls[f"layer{stage}.relu"][0].input
        assert output.shape == (2, channels, size // scale, size // scale)
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), output)
    assert calls["block1"][0].output.shape == (2, 8, size // 2, size // 2)
    last = calls["block3"][0].output
    assert last.shape == (2, 32, size // 8, size // 8)
    assert torch.equal(calls["fc"][0].input, last.amax((2, 3)) / 8)


def test_block_adds_its_convolutions_to_its_input() -> None:
    call = calls_of(students.resnet9(5, width=4), torch.randn(2, 3, 16, 16))
    block, inner = call["block1"][0], call["block1.conv2"][0]
    assert torch.equal(block.output, block.input + inner.output)


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(students.resnet9(10, width=4), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path


def test_gradient_reaches_every_parameter() -> None:
    network = students.resnet9(10, in_channels=1, width=4)
    network(torch.randn(4, 1, 16, 16)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_refuses_a_width_of_zero() -> None:
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        students.resnet9(10, width=0)
