from pathlib import Path

import pytest

from distill.runs.metrics_csv import metrics_file


def test_metrics_are_written_into_the_run_directory(tmp_path: Path) -> None:
    logger = metrics_file(tmp_path)
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["loss,step", "0.5,0"]


def test_a_resumed_run_keeps_the_rows_before_its_step(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("loss,step\n0.5,0\n0.4,1\n0.3,2\n")
    logger = metrics_file(tmp_path, resumed_at=2)
    logger.log_metrics({"loss": 0.25, "other": 1.0}, step=2)
    logger.save()
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",") == ["loss", "other", "step"]
    assert lines[1:] == ["0.5,,0", "0.4,,1", "0.25,1.0,2"]


def test_a_fresh_run_keeps_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("loss,step\n0.5,0\n")
    logger = metrics_file(tmp_path)
    logger.log_metrics({"loss": 0.1}, step=0)
    logger.save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["loss,step", "0.1,0"]


def test_a_resumed_run_without_metrics_starts_them(tmp_path: Path) -> None:
    logger = metrics_file(tmp_path, resumed_at=2)
    logger.log_metrics({"loss": 0.1}, step=2)
    logger.save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["loss,step", "0.1,2"]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("", 0),
        ("loss,step\n", 0),
        ("loss,step\n0.5,0\n0.4,1", 1),
        ("loss,step\n0.5,0\n0.4\n0.3,2\n", 2),
        ("loss,step\n0.5,0\n0.4,1,7\n", 1),
        ("loss,step\n0.5,0\n0.4,one\n", 1),
        ("loss\n0.5\n", 0),
        ("loss,step\n0.5,0\n\0,1\n", 1),
    ],
)
def test_what_is_damaged_is_told_and_the_rest_kept(content: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    told = rf"^{path} is damaged: {kept} of its rows are kept; the weights are not touched by it$"
    with pytest.warns(UserWarning, match=told):
        metrics_file(tmp_path, resumed_at=3)
