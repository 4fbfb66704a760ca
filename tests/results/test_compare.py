import math
from typing import Any

import pytest

from distill.results.compare import compare


def row(method: str, seed: int, accuracy: float, **changes: Any) -> dict[str, Any]:
    against = "" if method == "alone" else "alone"
    teacher = None if method == "alone" else 96.0
    accuracies = {"val_last": accuracy + 1, "val_best": accuracy + 2}
    accuracies |= {"test_last": accuracy, "test_best": accuracy + 0.5}
    taught = {"teacher_val": teacher, "teacher_test": teacher}
    given = {"method": method, "seed": seed, "wall_s": 3.0, "against": against}
    return given | accuracies | taught | changes


ALONE = [row("alone", seed, 90.0 + seed) for seed in range(3)]


def test_the_gap_is_that_between_the_student_alone_and_the_teacher() -> None:
    kd = [row("kd", seed, 92.0 + seed) for seed in range(3)]
    found = compare([*ALONE, *kd])[1]
    assert found.gap_closed == pytest.approx((93 - 91) / (96 - 91))
    assert (found.seeds, found.difference) == (3, (2.0, 2.0, 2.0))


def test_no_gap_where_the_other_had_a_teacher_or_this_one_had_none() -> None:
    untaught = [row("wide", 0, 93.0, teacher_val=None, teacher_test=None)]
    kd = [row("kd", 0, 92.0), row("kd_long", 0, 93.0, against="kd")]
    alone, wide, _, long = compare([*ALONE, *untaught, *kd])
    assert all(math.isnan(one.gap_closed) for one in (alone, wide, long))


def test_only_seeds_that_both_have_are_compared() -> None:
    kd = [row("kd", 2, 95.0), row("kd", 7, 10.0)]
    found = compare([*ALONE, *kd])[1]
    assert found.seeds == 1
    assert found.difference is not None
    assert found.difference.mean == 3.0
    assert found.accuracies["test_last"][0] == 52.5


def test_a_method_without_its_partner_is_not_compared() -> None:
    found = compare([row("kd", 0, 95.0)])[0]
    assert found.difference is None
    assert math.isnan(found.p_holm)


def test_p_values_are_corrected_over_all_methods() -> None:
    steps = {"a": [1.0, 1.5, 2.5], "b": [0.1, -0.4, 0.2], "c": [2.0, 2.5, 2.2]}
    rows = [row(name, s, 90.0 + s + d[s]) for name, d in steps.items() for s in range(3)]
    _, a, b, c = compare([*ALONE, *rows])
    assert c.p < a.p < b.p
    assert (c.p_holm, a.p_holm, b.p_holm) == pytest.approx((3 * c.p, 2 * a.p, b.p))
