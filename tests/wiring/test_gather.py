from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from distill.losses import RKDLoss
from distill.modules import Term
from distill.modules.objective import placed_terms
from distill.wiring.gather import gathered
from distill.wiring.wiring import Wiring
from tests.fixtures.forks import start

ROWS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
# Far from any rotation, so that the student's relations are not the teacher's.
WEIGHT = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, -0.3], [0.4, 0.0, 0.2]])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes that share a gloo group finds."""
    folder = tmp_path_factory.mktemp("group")
    processes = [start(_join, rank, folder, method="forkserver") for rank in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _join(rank: int, folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2
    )
    torch.save(relation(rank) | terms(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


def relation(rank: int) -> dict[str, Tensor]:
    """The gradient of a gathered RKD term, averaged over processes as DDP averages."""
    weight = WEIGHT.clone().requires_grad_()
    local = ROWS[4 * rank : 4 * rank + 4]
    value = RKDLoss()(gathered(local @ weight), gathered(local))
    (gradient,) = torch.autograd.grad(value, weight)
    dist.all_reduce(gradient)
    return {"value": value.detach(), "gradient": gradient / 2, "rows": gathered(local)}


def test_a_gathered_loss_has_the_value_and_gradient_of_one_process(
    found: list[dict[str, Tensor]],
) -> None:
    weight = WEIGHT.clone().requires_grad_()
    value = RKDLoss()(ROWS @ weight, ROWS)
    (gradient,) = torch.autograd.grad(value, weight)
    assert gradient.abs().min() > 1e-3
    for each in found:
        assert torch.equal(each["rows"], ROWS)
        torch.testing.assert_close(each["value"], value.detach())
        torch.testing.assert_close(each["gradient"], gradient, rtol=1e-4, atol=1e-6)


def terms(rank: int) -> dict[str, Tensor]:
    """A term on the process's own rows beside one on all."""
    inputs = {"student": "student.logits", "teacher": "teacher.logits"}
    own, wide = Term(Mean(), inputs=inputs), Term(Mean(), inputs=inputs, batch="gathered")
    networks = {"student": nn.Linear(3, 3), "teacher": nn.Linear(3, 3)}
    wiring = Wiring(placed_terms({"local": own, "all": wide}), networks)
    local = ROWS[4 * rank : 4 * rank + 4]
    return wiring.evaluate({"student.logits": local, "teacher.logits": local})


class Mean(nn.Module):
    """The mean of what the student gave."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return student.mean() + 0 * teacher.sum()


def test_each_term_says_which_batch_it_sees(found: list[dict[str, Tensor]]) -> None:
    first, second = found
    torch.testing.assert_close(first["local"], ROWS[:4].mean())
    torch.testing.assert_close(second["local"], ROWS[4:].mean())
    torch.testing.assert_close(first["all"], ROWS.mean())
    assert torch.equal(first["all"], second["all"])


def test_alone_a_batch_is_whole() -> None:
    assert gathered(ROWS) is ROWS
