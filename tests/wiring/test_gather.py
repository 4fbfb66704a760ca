from collections.abc import Callable
from pathlib import Path

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


def in_two_processes(work: Callable[[int, Path], None], folder: Path) -> list[dict[str, Tensor]]:
    """What ``work(rank, folder)`` saves, run in two processes that share a gloo group."""
    processes = [start(_join, rank, work, folder, method="forkserver") for rank in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _join(rank: int, work: Callable[[int, Path], dict[str, Tensor]], folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2
    )
    torch.save(work(rank, folder), folder / f"{rank}.pt")
    dist.destroy_process_group()


def relation(rank: int, folder: Path) -> dict[str, Tensor]:
    """The gradient of a gathered RKD term, averaged over processes as DDP averages."""
    weight = WEIGHT.clone().requires_grad_()
    local = ROWS[4 * rank : 4 * rank + 4]
    value = RKDLoss()(gathered(local @ weight), gathered(local))
    (gradient,) = torch.autograd.grad(value, weight)
    dist.all_reduce(gradient)
    return {"value": value.detach(), "gradient": gradient / 2, "rows": gathered(local)}


def test_a_gathered_loss_has_the_value_and_gradient_of_one_process(tmp_path: Path) -> None:
    weight = WEIGHT.clone().requires_grad_()
    value = RKDLoss()(ROWS @ weight, ROWS)
    (gradient,) = torch.autograd.grad(value, weight)
    assert gradient.abs().min() > 1e-3
    for found in in_two_processes(relation, tmp_path):
        assert torch.equal(found["rows"], ROWS)
        torch.testing.assert_close(found["value"], value.detach())
        torch.testing.assert_close(found["gradient"], gradient, rtol=1e-4, atol=1e-6)


def terms(rank: int, folder: Path) -> dict[str, Tensor]:
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


def test_each_term_says_which_batch_it_sees(tmp_path: Path) -> None:
    first, second = in_two_processes(terms, tmp_path)
    torch.testing.assert_close(first["local"], ROWS[:4].mean())
    torch.testing.assert_close(second["local"], ROWS[4:].mean())
    torch.testing.assert_close(first["all"], ROWS.mean())
    assert torch.equal(first["all"], second["all"])


def test_alone_a_batch_is_whole() -> None:
    assert gathered(ROWS) is ROWS
