import pytest
from rich.console import Console

from distill.bench import progress
from distill.bench.progress import Progress


def test_time_left_counts_only_what_ran_in_this_session(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = Progress(Console(width=200), total=10, finished=5)
    now = 120.0
    shown.ended("kd [seed] 1")
    now = 130.0
    shown.ended("kd seed 2")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "6/10     kd [seed] 1  about 1 min 20 s left",
        "7/10     kd seed 2  about 45 s left",
    ]


def test_after_the_last_run_no_time_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(Console(width=200), total=1).ended("kd")
    assert capsys.readouterr().out == "1/1      kd\n"
