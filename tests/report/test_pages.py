"""What the pages of runs and sweeps say."""

import json
from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.report.blocks import Chart, Table
from distill.report.run_page import run_page
from distill.report.sweep_page import sweep_page
from distill.results.study import read_study
from tests.report.studies import write_metric, write_run, write_sweep, write_table


def test_a_run_stands_beside_its_teacher(tmp_path: Path) -> None:
    page = run_page(read_study(write_run(tmp_path / "run")))
    told = " ".join(page.answer)
    assert "83.00 % of the test images right; its teacher gets 89.00 %" in told
    assert "50,000 parameters, 5.0 % of the teacher's" in told
    assert "Both give the same class on 90.00 % of the validation images" in told
    assert "One run has no spread" in told
    titles = [section.title for section in page.sections]
    assert titles == [
        "Student and teacher",
        "Accuracy over the epochs",
        "Accuracy against cost",
        "What the student took over",
        "Losses",
        "Where student and teacher differ",
        "How it was made",
    ]


def test_a_run_on_text_lines_has_no_row_of_dashes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    result = json.loads((folder / "result.json").read_text())
    result["diagnostics"] = {"student_character_error_rate": 0.1}
    (folder / "result.json").write_text(json.dumps(result))
    titles = [section.title for section in run_page(read_study(folder)).sections]
    assert "What the student took over" not in titles
    assert "Losses" in titles


def test_a_segmenter_is_told_by_its_own_figure(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    result = json.loads((folder / "result.json").read_text())
    for network in ("student", "teacher"):
        result[network]["miou"] = result[network].pop("top1")
    result |= {"metric": "miou", "task": "Segmentation"}
    result["diagnostics"] = {"agreement": 0.9, "iou of ground": 91.0, "iou of cat": 12.5}
    (folder / "result.json").write_text(json.dumps(result))
    page = run_page(read_study(folder))
    told = " ".join(page.answer)
    assert "the student's mIoU on the test images is 83.00 %; its teacher's is 89.00 %." in told
    assert "right" not in told
    assert "same class" not in told
    assert "mIoU against cost" in [section.title for section in page.sections]
    section = next(section for section in page.sections if section.title == "Each class")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.rows == [("ground", "91.00 %"), ("cat", "12.50 %")]


def test_a_run_alone_is_compared_with_the_labels(tmp_path: Path) -> None:
    page = run_page(read_study(write_run(tmp_path / "run", "student", test=None)))
    assert "84.00 % of the validation images right." in page.answer[0]
    section = next(s for s in page.sections if s.title == "Where student and label differ")
    # 4 of the 30 images are given the next class.
    assert "differs from the label on 13.33 % of the 30 validation images" in section.text
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    # Images 0 to 3 have the labels 0, 1, 2, 0.
    assert table.rows[0] == ("cat → dog", "2")


def test_the_pictures_are_those_that_differ(tmp_path: Path) -> None:
    page = run_page(read_study(write_run(tmp_path / "run")))
    section = next(s for s in page.sections if s.title == "Where student and teacher differ")
    assert "the teacher is right on 100 %, the student on 0 %" in section.text
    (gallery,) = (block for block in section.blocks if block.kind == "gallery")
    assert len(gallery.pictures) == 4
    assert gallery.pictures[0].alt == (
        "Validation image 0: label cat, teacher cat, student dog (99 %)"
    )
    assert gallery.pictures[0].png.startswith(b"\x89PNG")


def test_a_sweep_names_the_best_trial_and_warns_of_luck(tmp_path: Path) -> None:
    page = sweep_page(read_study(write_sweep(tmp_path / "sweep")))
    told = " ".join(page.answer)
    assert "Trial 1 did best: 84 in its last epoch, with lr = 0.1, loss = rkd" in told
    assert "partly luck" in told
    table, course = page.sections[0].blocks
    assert isinstance(table, Table)
    assert [row[:3] for row in table.rows] == [
        ("trial 1", "84", "finished"),
        ("trial 0", "70", "stopped"),
    ]
    assert "Diverged, without a value: 1." in page.sections[0].text
    assert isinstance(course, Chart)
    against = page.sections[1].blocks
    # The weight decay is the same in every trial.
    assert [chart.caption for chart in against] == ["lr", "loss"]  # type: ignore[union-attr]
    assert any(section.title == "The best trial over its epochs" for section in page.sections)


def trials(folder: Path, *values: tuple[str, float | None]) -> Path:
    """A sweep's folder: by trial its state and value, which is its best too."""
    rows = [
        {"trial": number, "state": state, "value": value, "best": value, "lr": 0.1 * (number + 1)}
        for number, (state, value) in enumerate(values)
    ]
    write_table(folder / "results.csv", list(rows[0]), rows)
    return folder


def test_a_loss_is_made_small_though_every_trial_ends_at_its_best(tmp_path: Path) -> None:
    study = read_study(trials(tmp_path, ("finished", 0.7), ("finished", 0.5)))
    write_metric(tmp_path, "val/loss", "minimize")
    page = sweep_page(study)
    assert page.answer[0].startswith("Trial 1 did best: 0.5")
    assert "val/loss in the last epoch; smaller is better" in page.sections[0].text
    _, course = page.sections[0].blocks
    assert isinstance(course, Chart)
    assert "the best so far ends at 0.5" in course.alt


def test_stopped_trials_are_ranked_and_compared_apart_from_finished_ones(tmp_path: Path) -> None:
    found = [("stopped", 99.0), ("finished", 80.0), ("stopped", 70.0), ("finished", 90.0)]
    study = read_study(trials(tmp_path, *found, ("finished", 85.0)))
    write_metric(tmp_path)
    page = sweep_page(study)
    assert page.answer[0].startswith("Trial 3 did best: 90 in its last epoch")
    assert page.answer[1] == "The next best reached 85, the worst 80."
    table, course = page.sections[0].blocks
    assert isinstance(table, Table)
    assert isinstance(course, Chart)
    assert [row[0][-1] for row in table.rows] == ["3", "4", "1", "0", "2"]
    assert "stopped early come after all that finished" in page.sections[0].text
    assert course.caption.endswith("the best so far of those that finished.")
    assert "the best so far ends at 90" in course.alt


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (None, "is missing, so no trial can be called the best; needs the metric and its goal"),
        ("{", "needs the metric and its goal"),
        ("[]", "needs the metric and its goal"),
        ('{"metric": "val/top1"}', "needs the metric and its goal"),
        ('{"metric": "val/top1", "goal": "more"}', "needs the metric and its goal, .*'more'"),
    ],
)
def test_a_sweep_that_does_not_tell_its_goal_is_refused(
    told: str | None, problem: str, tmp_path: Path
) -> None:
    study = read_study(trials(tmp_path, ("finished", 0.7), ("finished", 0.5)))
    if told is not None:
        (tmp_path / "sweep.json").write_text(told)
    with pytest.raises(RecipeError, match=rf"sweep\.json: {problem}"):
        sweep_page(study)


def test_a_sweep_whose_trials_all_diverged_says_so(tmp_path: Path) -> None:
    write_metric(trials(tmp_path, ("diverged", None)))
    page = sweep_page(read_study(tmp_path))
    assert page.answer == ["No trial reached a value of the metric."]
    assert page.sections == []
