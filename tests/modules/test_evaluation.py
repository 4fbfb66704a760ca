from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.core.batch import Batch
from distill.modules.evaluation import Evaluation
from tests.fixtures.modules import digits


class Logs:
    """A module that keeps what it is given to log, with the number of images."""

    def __init__(self) -> None:
        self.trainer = SimpleNamespace(world_size=1)
        self.given: dict[str, list[tuple[float, int | None]]] = {}

    def log(self, name: str, value: Tensor, batch_size: int | None = None, **_: Any) -> None:
        self.given.setdefault(name, []).append((float(value), batch_size))


def logits(network: str, batch: Batch) -> Tensor:
    if len(batch.image) == 0:
        raise AssertionError("a network was asked for nothing")
    return torch.nn.functional.one_hot(batch.target, 10).float()


@pytest.mark.parametrize("sizes", [(4, 0), (0, 4)])
def test_a_batch_of_nothing_counts_for_nothing(sizes: tuple[int, int]) -> None:
    data, module, evaluation = digits(), Logs(), Evaluation(["student"])
    data.setup("fit")
    evaluation.set_up(data)
    whole = data.example(4)
    for n in sizes:
        batch = Batch(whole.image[:n], whole.target[:n], whole.index[:n], 0)
        evaluation.step(module, "val", batch, logits)  # type: ignore[arg-type]
    evaluation.log(module, "val")  # type: ignore[arg-type]
    assert {size for _, size in module.given["val/loss"]} == {0, 4}
    assert all(value >= 0 for value, _ in module.given["val/loss"])
    assert module.given["val/top1"] == [(100.0, None)]
