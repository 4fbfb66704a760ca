"""What a bench's page says, in the cases where it must be careful."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from distill.report.bench_page import bench_page
from distill.report.blocks import Chart, Page, Table
from distill.report.run_page import run_page
from distill.results.study import read_study
from tests.report import studies


def page(folder: Path, **options: bool | int) -> Page:
    return bench_page(read_study(studies.write_bench(folder, **options)))  # type: ignore[arg-type]


def table(found: Page) -> Table:
    block = found.sections[0].blocks[0]
    assert isinstance(block, Table)
    return block


def test_one_seed_says_that_nothing_is_sure(tmp_path: Path) -> None:
    found = page(tmp_path / "b", seeds=1, with_runs=False)
    told = " ".join(found.answer)
    assert table(found).caption.startswith("One seed, best epoch in brackets.")
    assert "83.00 % on the test images (one seed)" in told
    assert "one common seed does not show how sure that is" in told
    assert "95 %" not in told


def test_without_test_images_it_says_that_the_choice_flatters(tmp_path: Path) -> None:
    found = page(tmp_path / "b", test=False, with_runs=False)
    assert "% on the validation images" in found.answer[0]
    assert "its figure is a little too good" in found.sections[0].text
    assert "test %" not in table(found).header


def test_a_baseline_that_is_best_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = {"student": ([90.0, 91.0, 92.0], [90.0, 91.0, 92.0])}
    monkeypatch.setattr(studies, "ACCURACIES", studies.ACCURACIES | worse)
    told = page(tmp_path / "b", with_runs=False).answer
    assert told[0].startswith("student did best")
    assert "No method did better than student" in told[1]


@pytest.mark.parametrize(
    ("tested", "verdict"),
    [
        ([78.5, 83.0, 79.0], "The interval reaches 0: this may be chance (p = "),
        ([83.0, 85.1, 84.0], "Chance alone hardly gives that (p = "),
        ([83.0, 84.0, 85.5], "of so many comparisons one may do so by chance (p = "),
    ],
)
def test_the_verdict_follows_from_interval_and_correction(
    tested: list[float], verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = studies.ACCURACIES | {"kd": (studies.ACCURACIES["kd"][0], tested)}
    # Other methods of no effect: each makes the correction stronger.
    accuracies |= {f"other{n}": ([80.0, 81.0, 79.5], [78.0, 81.0, 78.5]) for n in range(4)}
    monkeypatch.setattr(studies, "ACCURACIES", accuracies)
    assert verdict in " ".join(page(tmp_path / "b", with_runs=False).answer)


def test_a_table_alone_still_answers(tmp_path: Path) -> None:
    found = page(tmp_path / "b", with_runs=False)
    assert "kd did best" in found.answer[0]
    assert found.sections[0].title == "Methods compared"
    assert "parameters" not in " ".join(found.answer)


def test_what_is_compared_with_another_method_is_also_told_beside_the_baseline(
    tmp_path: Path,
) -> None:
    study = read_study(studies.write_bench(tmp_path / "study" / "bench", with_runs=False))
    for row in study.rows:
        if row["method"] == "kd":
            row["against"] = "rkd"
    found = bench_page(study)
    told = " ".join(found.answer)
    assert found.title == "Bench study"
    assert "4.67 points above rkd" in told
    assert "Against student it is +4.83 points (+2.94 to +6.73)." in told
    before = " ".join(page(tmp_path / "b", with_runs=False).answer)
    assert "Against student it is" not in before


def test_methods_beyond_the_sixth_are_in_the_table_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {f"m{n}": ([70.0 + n] * 3, [70.0 + n] * 3) for n in range(6)}
    monkeypatch.setattr(studies, "ACCURACIES", studies.ACCURACIES | more)
    found = page(tmp_path / "b", with_runs=False)
    assert len(table(found).rows) == 9
    assert "Curves show student and the best 5; 3 more are in the table." in found.sections[0].text


def test_a_method_whose_runs_are_gone_leaves_the_others_figures(tmp_path: Path) -> None:
    folder = studies.write_bench(tmp_path / "b", seeds=1)
    path = folder / "kd" / "seed0" / "result.json"
    told = json.loads(path.read_text())
    told["diagnostics"]["cka"] = {"stage3": 0.75}
    path.write_text(json.dumps(told))
    shutil.rmtree(folder / "rkd")
    section = next(
        one
        for one in bench_page(read_study(folder)).sections
        if one.title == "What the student took over"
    )
    (similarity,) = (
        one for one in section.blocks if isinstance(one, Table) and "CKA" in one.caption
    )
    assert similarity.rows == [("kd", "stage3", "0.750")]


def test_the_best_method_is_shown_side_by_side_under_the_name_of_its_figure(tmp_path: Path) -> None:
    folder = studies.write_bench(tmp_path / "b")
    for path in folder.rglob("result.json"):
        told = json.loads(path.read_text()) | {"metric": "map"}
        path.write_text(json.dumps(told))
        Image.new("RGB", (8, 4), "red").save(path.with_name("validation.png"))
    found = bench_page(read_study(folder))
    titles = [section.title for section in found.sections]
    assert "mAP against cost" in titles
    (chart,) = found.sections[titles.index("Side by side")].blocks
    assert isinstance(chart, Chart)
    assert chart.figure.axes[0].images[0].get_array().shape == (4, 8, 3)


def test_a_picture_that_is_none_is_left_out(tmp_path: Path) -> None:
    folder = studies.write_run(tmp_path / "run")
    (folder / "validation.png").write_text("not a picture")
    titles = [section.title for section in run_page(read_study(folder)).sections]
    assert "Losses" in titles
    assert "Side by side" not in titles
