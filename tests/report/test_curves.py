import pytest

from distill.report.curves import loss_charts
from distill.results.study import FinishedRun


def run(*columns: str) -> FinishedRun:
    metrics = [{"epoch": epoch, **dict.fromkeys(columns, 2.0 - epoch)} for epoch in range(2)]
    return FinishedRun({}, "", metrics, None)


@pytest.mark.parametrize("terms", [["b/ce", "b/kd/student"], ["b/ce"]])
def test_the_sum_of_a_peers_terms_is_told_from_a_term(terms: list[str]) -> None:
    columns = [f"train/loss/{name}" for name in ["b", *terms]]
    captions = [chart.caption for chart in loss_charts({"dml": [run(*columns)]})]
    assert captions == [
        "Weighted sum of the terms that train “b”, mean by epoch.",
        *(f"Loss term “{term}” in training, before its weight, mean by epoch." for term in terms),
    ]


def test_a_term_that_begins_like_another_is_no_sum() -> None:
    charts = loss_charts({"kd": [run("train/loss/kd", "train/loss/kd_long")]})
    assert [chart.figure.axes[0].get_ylabel() for chart in charts] == [
        "kd, unweighted",
        "kd_long, unweighted",
    ]
