import csv
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from distill.bench import report
from distill.core.files import write_csv


def rows(test: bool = True) -> list[dict[str, Any]]:
    accuracies = {"student": [90.0, 92.0], "kd": [93.0, 94.0]}
    return [
        {
            "method": method,
            "seed": seed,
            "val_last": value + 1,
            "val_best": value + 2,
            "test_last": value if test else None,
            "test_best": value + 0.5 if test else None,
            "teacher_val": 99.0 if method == "kd" else None,
            "teacher_test": 98.0 if method == "kd" and test else None,
            "wall_s": 2.0 + seed,
            "against": "" if method == "student" else "student",
            "run_dir": f"runs/{method}/seed{seed}",
        }
        for method, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def test_the_summary_compares_the_last_epoch_on_the_test_images() -> None:
    student, kd = report.summary(rows(), "student")
    assert student[:3] == ("student", "92.00 ± 1.41 (93.00)", "91.00 ± 1.41 (91.50)")
    assert kd[:3] == ("kd", "94.50 ± 0.71 (95.50)", "93.50 ± 0.71 (94.00)")
    assert kd[3].startswith("+2.50 (")


def test_one_seed_has_neither_deviation_nor_interval() -> None:
    one = [row for row in rows() if row["seed"] == 0]
    student, kd = report.summary(one, "student")
    assert student[:3] == ("student", "91.00 (92.00)", "90.00 (90.50)")
    assert kd[3] == "+3.00 (-)"
    assert "Last epoch, one seed; teacher 99.00 % val" in report.markdown(one, "student")


def test_a_variant_may_be_compared_with_another_method() -> None:
    found = rows()
    for row in rows()[2:]:
        found.append(
            row | {"method": "kd_long", "against": "kd", "test_last": row["test_last"] + 1}
        )
    long = report.summary(found, "student")[2]
    assert long[3] == "+1.00 (+1.00 to +1.00) to kd"


def test_without_test_images_it_compares_validation() -> None:
    assert report.headline(rows(test=False)) == "val_last"
    student, kd = report.summary(rows(test=False), "student")
    assert student[2] == "-"
    assert kd[3].startswith("+2.50 (")


def test_markdown_holds_every_method_and_the_teacher() -> None:
    text = report.markdown(rows(), "student")
    assert text.count("\n| ") == 3
    assert "difference to student" in text
    assert "over 2 seeds; teacher 99.00 % val, 98.00 % test." in text


def test_the_teacher_is_told_though_the_last_method_has_none(tmp_path: Path) -> None:
    found = rows()[2:] + rows()[:2]
    assert "over 2 seeds; teacher 99.00 % val, 98.00 % test." in report.markdown(found, "student")
    assert report.plot(tmp_path / "with.png", found, "student")
    alone = [row | {"teacher_val": None, "teacher_test": None} for row in found]
    assert "teacher" not in report.markdown(alone, "student")
    assert report.plot(tmp_path / "without.png", alone, "student")
    # The same dots: only the teacher's line can make the difference.
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_the_terminal_table_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_table(Console(width=160), rows(), "student")
    printed = capsys.readouterr().out
    assert "93.50 ± 0.71" in printed
    assert "over 2 seeds" in printed
    assert "gap closed" in printed
    assert "table.md" not in printed


def test_a_narrow_terminal_gets_the_headline_and_is_told_of_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report.print_table(Console(width=80), rows(), "student")
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    assert len(lines) == 2  # one per method: nothing is broken over lines
    assert "93.50 ± 0.71" in lines[1]
    assert "gap closed" not in printed
    assert "More columns are in table.md." in printed


def test_the_csv_has_a_row_per_run(tmp_path: Path) -> None:
    write_csv(tmp_path / "results.csv", rows(), report.COLUMNS)
    with (tmp_path / "results.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in found] == [
        ("student", "0"),
        ("student", "1"),
        ("kd", "0"),
        ("kd", "1"),
    ]
    assert float(found[2]["test_last"]) == 93.0


def test_the_plot_fits_a_phone_whatever_the_methods(tmp_path: Path) -> None:
    """At 5 inches its letters, of 10 points, are still 9.5 pixels high on a page 343 wide."""
    many = [row | {"method": f"method {n}"} for n in range(12) for row in rows()[:2]]
    for name, found in (("few.png", rows()), ("many.png", rows() + many)):
        assert report.plot(tmp_path / name, found, "student")
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG"
            assert image.width == 5 * 150


def test_without_matplotlib_there_is_no_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not report.plot(tmp_path / "plot.png", rows(), "student")
