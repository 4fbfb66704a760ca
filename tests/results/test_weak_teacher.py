from typing import Any

import pytest

from distill.results.weak_teacher import weak_in_bench, weak_in_run


def result(student: float, teacher: float | None, goal: str = "maximize") -> dict[str, Any]:
    taught = None if teacher is None else {"top1": {"val": {"last": teacher}}}
    return {"student": {"top1": {"val": {"last": student}}}, "teacher": taught, "goal": goal}


FINE = [result(74, 80), result(74, 70), result(74, None), result(45, 40, "minimize")]


@pytest.mark.parametrize("fine", FINE)
def test_nothing_is_said_of_a_teacher_that_is_not_clearly_worse(fine: dict[str, Any]) -> None:
    assert weak_in_run(fine) == []


def test_a_run_whose_teacher_is_far_below_its_student_is_told_so() -> None:
    (told,) = weak_in_run(result(74, 40))
    assert told.startswith("The teacher's 40.00 % is 34.00 points worse than the student's: ")
    assert weak_in_run(result(3, 40, "minimize"))


def rows(alone: float, teacher: float) -> list[dict[str, Any]]:
    def of(method: str, taught: float | None, accuracy: float) -> dict[str, Any]:
        scores = {"val_last": accuracy, "test_last": None}
        return {"method": method, "teacher_val": taught, "teacher_test": None} | scores

    return [of("alone", None, alone), of("kd", teacher, alone + 1)]


def test_a_bench_whose_teacher_is_below_the_student_alone_is_told_so() -> None:
    (told,) = weak_in_bench(rows(74, 40))
    assert told.startswith("The teacher's 40.00 % val is below the 74.00 % of a student alone")
    assert weak_in_bench(rows(74, 74.5)) == []
    assert weak_in_bench(rows(74, 40)[1:]) == []
