import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.metrics import LineAccuracy, LineComparison, read_lines


def random_lines(seed: int) -> tuple[Tensor, Tensor]:
    """Logits (8, 7, 4), and targets (8, 3) that are what half of them read, where that fits."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, 7, 4, generator=generator)
    target = read_lines(logits)[:, :3].clone()
    target[4:] = torch.randint(1, 4, (4, 3), generator=generator)
    return logits, target


def texts(logits: Tensor) -> list[list[int]]:
    """The best path of each line by the definition."""
    paths = logits.argmax(2).tolist()
    return [[k for k, _ in itertools.groupby(path) if k != 0] for path in paths]


def distance(one: list[int], other: list[int]) -> int:
    """Levenshtein's, by its recursion."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    parts = (one[1:], other), (one, other[1:]), (one[1:], other[1:])
    return 1 + min(itertools.starmap(distance, parts))


def characters(target: Tensor) -> list[list[int]]:
    return [[k for k in line if k != 0] for line in target.tolist()]


@pytest.mark.parametrize("seed", range(20))
def test_a_line_is_the_best_path_without_runs_and_blanks(seed: int) -> None:
    logits = torch.randn(8, 90, 4, generator=torch.Generator().manual_seed(seed))
    read = read_lines(logits)
    assert read.shape == (8, 90)
    for line, expected in zip(read.tolist(), texts(logits), strict=True):
        assert line == expected + [0] * (90 - len(expected))


def test_a_line_counts_where_all_of_it_is_right_and_nothing_more() -> None:
    metric, right, lines = LineAccuracy(), 0, 0
    for seed in range(5):
        logits, target = random_lines(seed)
        metric.update(logits, target)
        pairs = list(zip(texts(logits), characters(target), strict=True))
        right, lines = right + sum(a == b for a, b in pairs), lines + len(pairs)
    assert 0 < right < lines
    assert metric.compute().item() == pytest.approx(right / lines)


def test_targets_may_have_more_room_than_there_are_steps() -> None:
    metric = LineAccuracy()
    metric.update(F.one_hot(torch.tensor([[1, 2]]), 3).float(), torch.tensor([[1, 2, 0, 0]]))
    metric.update(F.one_hot(torch.tensor([[1, 2]]), 3).float(), torch.tensor([[1, 2, 1, 0]]))
    assert metric.compute() == 0.5


def test_the_character_error_rate_is_that_of_edit_distances() -> None:
    comparison = LineComparison(with_teacher=True)
    errors, n = {"student": 0, "teacher": 0}, 0
    for seed in range(3):
        logits, target = random_lines(seed)
        both = {"student": logits, "teacher": logits.flip(0)}
        comparison.update(both["student"], both["teacher"], target)
        wanted = characters(target)
        n += sum(map(len, wanted))
        for name, value in both.items():
            errors[name] += sum(map(distance, texts(value), wanted))
    found = comparison.compute()
    assert set(found) == {"student_character_error_rate", "teacher_character_error_rate"}
    for name, wrong in errors.items():
        assert found[f"{name}_character_error_rate"] == pytest.approx(wrong / n)


def test_without_a_teacher_there_is_the_students_rate_alone() -> None:
    logits, target = random_lines(0)
    comparison = LineComparison(with_teacher=False)
    comparison.update(logits, None, target)
    assert set(comparison.compute()) == {"student_character_error_rate"}
