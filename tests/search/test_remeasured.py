"""The winner of a search keeps its limit on latency when it is measured again, or another wins."""

from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.results.study import remeasured
from distill.search import remeasured as module
from distill.search.plan import Plan
from distill.search.remeasured import first_within, latency
from distill.search.runner import make_plan
from tests.fixtures.searches import write


def _plan(folder: Path, limit: float | None) -> Plan:
    limits = {"latency_ms": {"max": limit}} if limit else None
    return make_plan(write(folder, constraints=limits), folder, [], 0)


def _finalists(plan: Plan) -> list[tuple[str, Recipe]]:
    return [(f"top{place}", plan.with_design((place, 0, 0, 0, 0))) for place in (0, 1)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times to be measured, one after the other."""
    times: list[float] = []
    monkeypatch.setattr(module, "_measured", lambda *_: times.pop(0))
    return times


@pytest.mark.parametrize(("ms", "winner"), [(2.09, "top0"), (2.11, "top1")])
def test_up_to_a_twentieth_above_the_limit_is_taken(
    tmp_path: Path, clock: list[float], ms: float, winner: str
) -> None:
    clock += [ms, 1.0]
    plan = _plan(tmp_path, limit=2.0)
    (name, recipe), passed = first_within(plan, _finalists(plan))
    assert name == winner
    assert recipe == dict(_finalists(plan))[winner]
    told = "top0 is left out: measured again it takes 2.11 ms, and the limit is 2."
    assert passed == [told] * (winner == "top1")
    taken = {row["design"]: row["taken"] for row in remeasured(tmp_path)}
    assert taken == ({"top0": "True"} if winner == "top0" else {"top0": "False", "top1": "True"})


def test_what_was_measured_again_is_not_measured_a_third_time(
    tmp_path: Path, clock: list[float]
) -> None:
    clock += [3.0, 1.0]
    plan = _plan(tmp_path, limit=2.0)
    first = first_within(plan, _finalists(plan))
    table = (tmp_path / "remeasured.csv").read_bytes()
    assert first_within(plan, _finalists(plan)) == first  # the clock has no further time
    assert (tmp_path / "remeasured.csv").read_bytes() == table


def test_where_none_keeps_the_limit_that_is_told_with_the_table(
    tmp_path: Path, clock: list[float]
) -> None:
    clock += [3.0, 3.0]
    plan = _plan(tmp_path, limit=2.0)
    with pytest.raises(RecipeError, match=r"none of 2 keeps 2 ms .* see remeasured\.csv"):
        first_within(plan, _finalists(plan))


def test_without_a_limit_nothing_is_measured(tmp_path: Path, clock: list[float]) -> None:
    plan = _plan(tmp_path, limit=None)
    assert first_within(plan, _finalists(plan)) == (_finalists(plan)[0], [])
    assert not (tmp_path / "remeasured.csv").exists()


def test_a_latency_is_the_median_of_five_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([5.0, 1.0, 4.0, 2.0, 3.0])
    monkeypatch.setattr(module, "milliseconds", lambda call, seconds: call() is None or next(times))
    plan = _plan(tmp_path, limit=None)
    assert latency(_finalists(plan)[0][1], (1, 8, 8), batch=2) == 3.0
