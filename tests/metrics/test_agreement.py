import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from distill.metrics import AgreementMetrics
from distill.metrics.agreement import BINS

K, N = 4, 60
GENERATOR = torch.Generator().manual_seed(0)
STUDENT = 2 * torch.randn(N, K, generator=GENERATOR)
TEACHER = STUDENT + torch.randn(N, K, generator=GENERATOR)
TARGET = torch.randint(K, (N,), generator=GENERATOR)


def compared(student: torch.Tensor, teacher: torch.Tensor | None) -> dict[str, float]:
    comparison = AgreementMetrics(K, with_teacher=teacher is not None)
    for rows in (slice(0, 25), slice(25, N)):
        part = teacher[rows] if teacher is not None else None
        comparison.update(student[rows], part, TARGET[rows])
    return comparison.compute()


def calibration_error(logits: torch.Tensor) -> float:
    """Guo et al., eq. 3: bins (0, 1/15], (1/15, 2/15], ..., by loops."""
    probabilities = softmax(logits.double().numpy(), axis=1)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == TARGET.numpy()
    total = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        if inside.any():
            total += inside.sum() / N * abs(right[inside].mean() - confidence[inside].mean())
    return float(total)


def test_all_values_are_those_of_their_definitions() -> None:
    found = compared(STUDENT, TEACHER)
    same = np.argmax(STUDENT.numpy(), 1) == np.argmax(TEACHER.numpy(), 1)
    probabilities = [softmax(x.double().numpy(), axis=1) for x in (TEACHER, STUDENT)]
    expected = {
        "agreement": same.mean(),
        "kl_to_teacher_nats": entropy(*probabilities, axis=1).mean(),  # natural logarithm
        "student_calibration_error": calibration_error(STUDENT),
        "teacher_calibration_error": calibration_error(TEACHER),
    }
    # 1e-6: sums of 60 float32 numbers against float64.
    assert found == pytest.approx(expected, abs=1e-6)


def test_equal_networks_agree() -> None:
    found = compared(TEACHER, TEACHER)
    assert (found["agreement"], found["kl_to_teacher_nats"]) == (1.0, 0.0)
    assert found["student_calibration_error"] == found["teacher_calibration_error"]


def test_logits_between_0_and_1_are_not_taken_for_probabilities() -> None:
    logits = STUDENT.sigmoid()
    found = compared(logits, None)
    assert found["student_calibration_error"] == pytest.approx(calibration_error(logits), abs=1e-6)


def test_without_a_teacher_the_student_is_measured_alone() -> None:
    assert set(compared(STUDENT, None)) == {"student_calibration_error"}
