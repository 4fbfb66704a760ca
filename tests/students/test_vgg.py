import pytest
import torch

import students
from tests.students.calls import calls_of


@pytest.mark.parametrize(("name", "parameters"), [("vgg8", 3_965_028), ("vgg13", 9_462_180)])
def test_has_the_parameters_of_the_literature(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in getattr(students, name)(100).parameters()) == parameters


@pytest.mark.parametrize("depth", [8, 11, 13, 16, 19])
def test_name_counts_convolutions_and_classifier_of_the_original(depth: int) -> None:
    """The original has three fully connected layers; this one keeps the name with one."""
    weights = [p for p in getattr(students, f"vgg{depth}")(10).parameters() if p.ndim == 4]
    assert len(weights) == (5 if depth == 8 else depth - 3)


@pytest.mark.parametrize("size", [32, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(students.vgg11(5), torch.randn(2, 3, size, size))
    widths, scales, last = (64, 128, 256, 512, 512), (1, 2, 4, 8, 8), (1, 1, 2, 2, 2)
    for stage, (width, scale, relu) in enumerate(zip(widths, scales, last, strict=True), start=1):
        output = calls[f"stage{stage}"][0].output
        before = calls[f"stage{stage}.relu{relu}"][0].input
        assert output.shape == (2, width, size // scale, size // scale)
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), output)
    assert calls["fc"][0].input.shape == (2, 512)
    torch.testing.assert_close(calls["fc"][0].input, calls["stage5"][0].output.mean((2, 3)))


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(students.vgg8(10), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path


def test_gradient_reaches_every_parameter() -> None:
    network = students.vgg8(10, in_channels=1)
    network(torch.randn(4, 1, 8, 8)).square().sum().backward()
    # A convolution's bias is taken away by the batch norm behind it.
    dead = [n for n, p in network.named_parameters() if not p.grad.count_nonzero()]
    assert [name for name in dead if not name.endswith("bias")] == []
