import pytest
import torch

from students import googlenet32
from students.googlenet32 import Inception
from tests.students.calls import calls_of


@pytest.mark.parametrize("size", [32, 28, 8])
def test_documented_paths_give_stages_and_embedding(size: int) -> None:
    calls = calls_of(googlenet32(5), torch.randn(2, 3, size, size))
    for stage, width in enumerate((64, 128, 256), start=1):
        side = size // 2 ** (stage - 1)
        output = calls[f"stage{stage}"][0].output
        before = calls[f"stage{stage}.1.relu"][0].input
        assert output.shape == (2, width, side, side)
        assert before.min() < 0
        assert torch.equal(before.clamp(min=0), output)
    torch.testing.assert_close(calls["fc"][0].input, calls["stage3"][0].output.mean((2, 3)))
    assert calls["fc"][0].input.shape == (2, 256)


@pytest.mark.parametrize(
    ("branch", "reach"), [("branch1", 1), ("branch3", 3), ("branch5", 5), ("branch_pool", 3)]
)
def test_each_branch_sees_its_own_neighbourhood(branch: str, reach: int) -> None:
    """Change one pixel at a time and see whether the middle of the output moves."""
    torch.manual_seed(0)
    block = Inception(4, 32).double().eval()
    maps = torch.rand(1, 4, 9, 9).double()
    middle = block.get_submodule(branch)(maps)[0, :, 4, 4]
    seen = torch.zeros(9, 9, dtype=torch.bool)
    for y in range(9):
        for x in range(9):
            changed = maps.clone()
            changed[0, :, y, x] += 2  # more than any maximum
            seen[y, x] = (block.get_submodule(branch)(changed)[0, :, 4, 4] != middle).any()
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[4 - reach // 2 : 5 + reach // 2, 4 - reach // 2 : 5 + reach // 2] = True
    assert torch.equal(seen, expected)


def test_branches_have_the_shares_of_the_papers_first_module() -> None:
    """Its 256 channels are 64 + 128 + 32 + 32, behind 96 and 16."""
    calls = calls_of(Inception(192, 256), torch.randn(2, 192, 4, 4))
    widths = {p: calls[p][0].output.shape[1] for p in ("branch1", "branch3", "branch5")}
    assert widths == {"branch1": 64, "branch3": 128, "branch5": 32}
    assert calls["branch_pool"][0].output.shape[1] == 32
    assert calls["branch3.reduce"][0].output.shape[1] == 96
    assert calls["branch5.reduce"][0].output.shape[1] == 16


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for path, calls in calls_of(googlenet32(10), torch.randn(2, 3, 8, 8)).items():
        assert len(calls) == 1, path
        assert torch.equal(calls[0].output, calls[0].output_then), path
