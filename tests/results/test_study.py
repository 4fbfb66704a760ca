from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.report.bench_page import bench_page
from distill.results.study import read_study
from tests.report import studies
from tests.report.studies import write_bench, write_run, write_sweep, write_table


def test_a_run_is_read_with_its_numbers_as_numbers(tmp_path: Path) -> None:
    study = read_study(write_run(tmp_path / "run", "kd"))
    assert study.kind == "run"
    (run,) = study.runs["toys/kd"]
    assert run.metrics[0] == {"epoch": 0, "step": 0, "train/loss/ce": 2.0, "train/loss/kd": 2.0}
    assert run.predictions is not None
    assert run.config.startswith("seed_everything: 0")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("result.json", b"[]", "is not the result of a run"),
        ("result.json", b'{"dataset": null}', "is not the result of a run"),
        ("result.json", b"[" * 100_000, "cannot be read"),
        ("config.yaml", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_bytes(content)
    with pytest.raises(RecipeError, match=f"{folder / name}: {told}"):
        read_study(folder)


def test_the_runs_of_a_bench_are_found_where_they_lie_now(tmp_path: Path) -> None:
    folder = write_bench(tmp_path / "moved")
    study = read_study(folder)
    assert study.kind == "bench"
    assert {name: len(runs) for name, runs in study.runs.items()} == {
        "student": 3,
        "kd": 3,
        "rkd": 3,
    }
    assert [run.result["seed"] for run in study.runs["kd"]] == [0, 1, 2]
    assert study.rows[0]["teacher_test"] is None
    assert study.rows[0]["test_last"] == 78.0


def test_a_table_without_its_runs_is_enough(tmp_path: Path) -> None:
    study = read_study(write_bench(tmp_path / "table", with_runs=False))
    assert study.runs == {"student": [], "kd": [], "rkd": []}


def test_a_sweep_is_told_by_its_trials(tmp_path: Path) -> None:
    study = read_study(write_sweep(tmp_path / "sweep"))
    assert study.kind == "sweep"
    assert {name: len(runs) for name, runs in study.runs.items()} == {"0": 0, "1": 1, "2": 0}


def test_what_is_none_of_the_three_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not a finished run, bench or sweep"):
        read_study(tmp_path)
    write_table(tmp_path / "results.csv", ["method", "seed"], [])
    with pytest.raises(RecipeError, match=r"results\.csv: holds no finished run yet"):
        read_study(tmp_path)
    write_table(tmp_path / "results.csv", ["name"], [{"name": "kd"}])
    with pytest.raises(RecipeError, match="needs a column 'method'"):
        read_study(tmp_path)
    (tmp_path / "results.csv").write_bytes(b"method\n\xff\xfe\n")
    with pytest.raises(RecipeError, match=r"results\.csv: cannot be read"):
        read_study(tmp_path)
    (tmp_path / "results.csv").unlink()
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RecipeError, match=r"result\.json: cannot be read"):
        read_study(tmp_path)


def test_a_method_may_be_called_by_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kd, student = studies.ACCURACIES["kd"], studies.ACCURACIES["student"]
    monkeypatch.setattr(studies, "ACCURACIES", {"student": student, "100": kd})
    study = read_study(write_bench(tmp_path / "b", seeds=2))
    assert [row["method"] for row in study.rows] == ["student", "student", "100", "100"]
    assert [row["seed"] for row in study.rows] == [0, 1, 0, 1]
    assert "100 did best" in bench_page(study).answer[0]
    assert len(study.runs["100"]) == 2
