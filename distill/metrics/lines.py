"""Metrics of text lines, read by networks that were trained with CTC."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.text import CharErrorRate


def read_lines(logits: Tensor) -> Tensor:
    """Read each line: take the best class of every step, merge runs, drop blanks.

    This is the best path of Graves et al. (ICML 2006). The most probable line, a sum over paths,
    may be another one.

    Args:
        logits: (b, t, k), class 0 the blank.

    Returns:
        Class numbers (b, t), int64, with 0 behind the last of a line.

    Example:
        >>> steps = F.one_hot(torch.tensor([[0, 3, 3, 0, 3, 1]]), 4).float()
        >>> read_lines(steps)
        tensor([[3, 3, 1, 0, 0, 0]])
    """
    path = logits.argmax(2)
    kept = (path != 0) & (path != F.pad(path, (1, 0))[:, :-1])
    order = kept.byte().argsort(dim=1, descending=True, stable=True)
    return path.masked_fill(~kept, 0).gather(1, order)


class LineAccuracy(Metric):
    """Share of text lines that are read without any error, in 0..1.

    Example:
        >>> metric = LineAccuracy()
        >>> steps = F.one_hot(torch.tensor([[0, 2, 2, 1], [0, 2, 0, 2]]), 3).float()
        >>> metric.update(steps, torch.tensor([[2, 1], [2, 1]]))
        >>> metric.compute()
        tensor(0.5000)
    """

    full_state_update = False
    higher_is_better = True
    right: Tensor
    lines: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("lines", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            logits: (b, t, k), class 0 the blank.
            target: Class numbers (b, l), with 0 behind the last of a shorter line.
        """
        read = read_lines(logits)
        width = max(read.shape[1], target.shape[1])
        read, target = (F.pad(line, (0, width - line.shape[1])) for line in (read, target))
        self.right += (read == target).all(1).sum()
        self.lines += len(target)

    def compute(self) -> Tensor:
        """Divide the lines read right by all lines."""
        return self.right / self.lines


class LineComparison(nn.Module):
    """Measures character error rates of a student, and of a teacher if there is one.

    Args:
        with_teacher: Whether there is a teacher.
    """

    def __init__(self, with_teacher: bool) -> None:
        super().__init__()
        self._errors = {"student": CharErrorRate()}
        if with_teacher:
            self._errors["teacher"] = CharErrorRate()

    def update(self, student: Tensor, teacher: Tensor | None, target: Tensor) -> None:
        """Add a batch.

        Args:
            student: Logits (b, t, k), class 0 the blank.
            teacher: Logits (b, t, k); None where there is no teacher.
            target: Class numbers (b, l), with 0 behind the last of a shorter line.
        """
        for name, logits in (("student", student), ("teacher", teacher)):
            if logits is not None:
                self._errors[name].update(_texts(read_lines(logits)), _texts(target))

    def compute(self) -> dict[str, float]:
        """Compute the metrics of all batches.

        Returns:
            ``student_character_error_rate`` and, with a teacher, ``teacher_character_error_rate``:
            characters to insert, delete or exchange, by the characters of the labels.
        """
        return {
            f"{name}_character_error_rate": metric.compute().item()
            for name, metric in self._errors.items()
        }


def _texts(lines: Tensor) -> list[str]:
    """Write lines as strings, each class number as the character of that number."""
    return ["".join(map(chr, filter(None, line))) for line in lines.tolist()]
