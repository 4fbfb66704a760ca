"""The page of a search, from tables alone."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from statistics import mean

import pytest

from distill.core.files import write_csv, write_json
from distill.report.blocks import Page
from distill.report.search_page import expected, search_page
from distill.results.ranking import Metric
from distill.results.study import read_study

_COLUMNS = ("trial", "state", "value", "best_so_far", "width", "parameters", "flops", "run_dir")
_SCORES = ("val_last", "val_best", "test_last", "test_best")
_FINAL = ("method", "seed", *_SCORES, "wall_s", "against", "teacher_test")


def _page(folder: Path, gains: dict[str, float]) -> Page:
    write_json(folder / "search.json", {"metric": "val/top1", "goal": "maximize"})
    rows = [
        {"trial": n, "state": "finished", "value": 90.0 + n, "width": n, "flops": 5, "run_dir": "a"}
        | {"parameters": 100 - n, "best_so_far": 90.0 + n}
        for n in range(4)
    ]
    rows.append({"trial": 4, "state": "diverged", "parameters": 9, "flops": 5, "run_dir": "b"})
    write_csv(folder / "results.csv", rows, _COLUMNS)
    (folder / "finals").mkdir()
    finals = [
        {"method": name, "seed": seed, "against": "" if name == "by_hand" else "by_hand"}
        | {"wall_s": 1.0}
        | dict.fromkeys(_SCORES, 90 + gain * (1 + 0.01 * seed) + 0.1 * seed)
        for name, gain in gains.items()
        for seed in range(5)
    ]
    write_csv(folder / "finals" / "results.csv", finals, _FINAL)
    return search_page(read_study(folder))


def test_a_gain_whose_interval_is_above_zero_is_told_with_it(tmp_path: Path) -> None:
    page = _page(tmp_path, {"by_hand": 0.0, "top1": 2.0, "random1": 1.0})
    assert "top1, chosen on validation images, beats the hand-made student: +2.04" in page.answer[0]
    assert "from the best of 1 random designs" in page.answer[1]


def test_the_hand_made_student_may_be_the_better_one(tmp_path: Path) -> None:
    page = _page(tmp_path, {"by_hand": 0.0, "top1": -2.0})
    assert page.answer[0].startswith("The hand-made student beats top1")


def test_an_interval_around_zero_is_called_chance(tmp_path: Path) -> None:
    page = _page(tmp_path, {"by_hand": 0.0, "top1": 0.0})
    assert page.answer[0].endswith("it may be chance.")
    assert any("the best of many is partly luck" in sentence for sentence in page.answer)


def test_the_order_of_the_finalists_is_compared_with_that_of_the_search(tmp_path: Path) -> None:
    page = _page(tmp_path, {"by_hand": 0.0, "top1": 1.0, "top2": 2.0, "top3": 3.0})
    told = "The search's value does not order its 3 finalists: Kendall's tau -1.00."
    assert told in page.answer


def test_the_score_of_a_proxy_is_held_against_flops(tmp_path: Path) -> None:
    page = _page(tmp_path, {"by_hand": 0.0, "top1": 1.0})
    assert "tau" not in page.sections[1].text
    study = read_study(tmp_path)
    rows = [{**row, "score": -row["trial"], "flops": row["trial"]} for row in study.rows]
    told = "tau -1.00, FLOPs with 1.00."
    assert search_page(replace(study, rows=rows)).sections[1].text.endswith(told)


def test_a_finalist_that_was_too_slow_when_measured_again_is_told_and_is_not_the_best(
    tmp_path: Path,
) -> None:
    row = {"design": "top1", "network": "a", "latency_ms": 2.5, "limit_ms": 2.0, "taken": False}
    rows = [row, {**row, "design": "top2", "latency_ms": 1.5, "taken": True}]
    write_csv(tmp_path / "remeasured.csv", rows, list(row))
    page = _page(tmp_path, {"by_hand": 0.0, "top1": 3.0, "top2": 2.0})
    assert page.answer[0].startswith("top2, chosen on validation images, beats")
    told = "Top1 is left out: measured again it takes 2.5 ms, the limit is 2.0."
    assert page.answer[1] == told


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_expected_best_is_the_mean_over_all_orders(goal: str) -> None:
    values, metric = [1.0, 5.0, 2.0, 7.0], Metric("a", goal)  # type: ignore[arg-type]
    for drawn in range(1, 5):
        best = mean(metric.best(order[:drawn]) for order in permutations(values))
        assert expected(values, metric)[drawn - 1] == pytest.approx(best, rel=1e-12)
