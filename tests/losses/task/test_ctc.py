import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses import CTCLoss, ctc_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import TaskLossContract

LOGITS, TARGET = torch.zeros(2, 4, 3), torch.tensor([[1, 2], [1, 0]])


def spelled(path: tuple[int, ...]) -> list[int]:
    """What a path says: of a run one is kept, then blanks are dropped."""
    return [klass for klass, _ in itertools.groupby(path) if klass != 0]


class TestCTCLoss(TaskLossContract):
    shape = (5, 5, 3)
    refusals = {
        "no steps": (lambda: ctc_loss(LOGITS[:, 0], TARGET), r"\(b, t, k\).* \(2, 3\) and \(2, 2"),
        "no class": (lambda: ctc_loss(LOGITS[..., :0], TARGET), r"k >= 1, got \(2, 4, 0\)"),
        "one row": (lambda: ctc_loss(LOGITS, TARGET[0]), r"\(b, l\).* \(2, 4, 3\) and \(2,\)"),
        "range": (lambda: ctc_loss(LOGITS, TARGET + 1), r"in 0\.\.2, got 3"),
        "shares": (lambda: ctc_loss(LOGITS, TARGET.float()), "class numbers of shape"),
        "gap": (lambda: ctc_loss(LOGITS, TARGET.flip(1)), "0 behind the last character of a line"),
        "length": (
            lambda: ctc_loss(LOGITS[:, :1], TARGET),
            "^target needs lines that fit into 1 steps, got one that takes 2$",
        ),
        "repeats": (
            lambda: ctc_loss(LOGITS[:, :2], TARGET[:, [0, 0]]),
            "2 steps, got one that takes 3",
        ),
    }

    def make(self) -> nn.Module:
        return CTCLoss()

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        """Lines of up to three characters, some empty, with and without repeats."""
        numbers = torch.randint(1, 3, (len(predicted), 3), generator=generator)
        lengths = torch.randint(4, (len(predicted), 1), generator=generator)
        return numbers.masked_fill(torch.arange(3) >= lengths, 0)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        """All 3^5 paths, one by one."""
        paths = list(itertools.product(range(3), repeat=5))
        total = 0.0
        for steps, line in zip(predicted, target, strict=True):
            p = [softmax(step) for step in steps]
            wanted = [character for character in line if character != 0]
            spelling = [path for path in paths if spelled(path) == wanted]
            each = (math.prod(p[t][k] for t, k in enumerate(path)) for path in spelling)
            total -= math.log(sum(each))
        return total / len(target)

    def test_an_accelerator_need_not_wait_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """But for torch's own sum over paths, which reads the lengths on the host."""
        monkeypatch.setattr(F, "ctc_loss", lambda log_p, *_, reduction: log_p.sum((0, 2)))
        super().test_an_accelerator_need_not_wait_for_it()

    @pytest.mark.parametrize("scale", [1e4, 1e8, 1e12])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_gradient_of_huge_logits_is_that_of_the_best_path(
        self, scale: float, dtype: torch.dtype
    ) -> None:
        """One path is surely the best: p of the class minus 1 where it passes, over the lines."""
        path = torch.tensor([[1, 1, 0, 2, 2], [0, 2, 0, 1, 0]])
        best = F.one_hot(path, 3).to(dtype)
        logits = (scale * (best - F.one_hot(2 - path, 3).to(dtype) / 2)).requires_grad_()
        wanted = torch.tensor([[1, 2], [2, 1]])
        (ctc_loss(logits, wanted) - ctc_loss(logits.detach(), wanted)).backward()
        expected = (logits.detach().softmax(2) - best) / 2
        torch.testing.assert_close(logits.grad, expected, atol=0.01, rtol=0)

    @pytest.mark.parametrize("scale", [1e8, 1e12])
    def test_the_gradient_of_huge_logits_is_finite(self, scale: float) -> None:
        inputs = self.inputs()
        logits = (inputs["input"].float() * scale).requires_grad_()
        ctc_loss(logits, inputs["target"]).backward()
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1

    def test_an_empty_line_is_blank_at_every_step(self) -> None:
        logits = self.inputs()["input"]
        expected = -logits.log_softmax(2)[:, :, 0].sum(1).mean()
        for width in (0, 2):
            found = ctc_loss(logits, torch.zeros(len(logits), width, dtype=torch.int64))
            torch.testing.assert_close(found, expected)

    def test_steps_that_are_surely_blank_change_nothing(self) -> None:
        logits, target = self.inputs().values()
        blank = torch.tensor([1e4, 0, 0], dtype=torch.float64).expand(len(logits), 1, 3)
        longer = torch.cat([blank, logits, blank, blank], dim=1)
        torch.testing.assert_close(ctc_loss(longer, target), ctc_loss(logits, target))

    def test_more_room_for_characters_changes_nothing(self) -> None:
        logits, target = self.inputs().values()
        assert torch.equal(ctc_loss(logits, F.pad(target, (0, 4))), ctc_loss(logits, target))

    def test_a_sure_reading_costs_nothing(self) -> None:
        path = torch.tensor([[1, 1, 0, 1, 2], [0, 2, 0, 0, 0]])
        logits = 1e3 * F.one_hot(path, 3).double()
        assert ctc_loss(logits, torch.tensor([[1, 1, 2], [2, 0, 0]])) == 0

    def test_with_lines_of_one_length_torchs_mean_is_that_share_of_it(self) -> None:
        logits, target = self.inputs()["input"], torch.tensor([[1, 2]] * 5)
        steps, lengths = torch.full((5,), 5), torch.full((5,), 2)
        log_p = logits.log_softmax(2).transpose(0, 1)
        expected = nn.CTCLoss()(log_p, target, steps, lengths)
        torch.testing.assert_close(ctc_loss(logits, target) / 2, expected)

    @pytest.mark.parametrize("steps", [3, 4])
    def test_a_line_needs_a_step_more_between_equal_characters(self, steps: int) -> None:
        value = ctc_loss(torch.zeros(1, steps, 3), torch.tensor([[1, 1]]))
        paths = itertools.product(range(3), repeat=steps)
        n = sum(spelled(path) == [1, 1] for path in paths)
        assert value.item() == pytest.approx(-math.log(n / 3**steps), rel=1e-6)
