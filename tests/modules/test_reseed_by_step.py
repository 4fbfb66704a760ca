"""What networks draw in training depends on the seed and on the step, and on nothing else."""

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.data import Digits
from distill.modules import Distillation, Term

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
CE = Term(nn.CrossEntropyLoss(), inputs={"input": "student.logits", "target": "batch.target"})


class Draws(nn.Module):
    """A network that notes a draw of torch's global generator in each training pass."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.drawn: list[float] = []

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.drawn.append(torch.rand(()).item())
        return self.fc(image.flatten(1))


def drawn(seed: int, disturbed: bool = False) -> list[float]:
    """Draws of two epochs of four steps; disturbed by draws that others take in between."""

    class Disturb(pl.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            torch.rand(7)

    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Disturb()] if disturbed else [],
    )
    student = Draws()
    module = Distillation(None, student, {"ce": CE})
    module.seed = seed
    trainer.fit(module, Digits(train_samples=64, batch_size=16))
    return student.drawn


def test_no_two_steps_of_a_run_draw_the_same() -> None:
    draws = drawn(0)
    assert len(draws) == 8
    assert len(set(draws)) == 8


def test_two_seeds_draw_differently_and_one_seed_the_same() -> None:
    one, again = drawn(0), drawn(0, disturbed=True)
    assert one == again
    assert not set(one) & set(drawn(1))
