import argparse
import errno
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distill import __version__, recipes, runs
from distill.__main__ import run
from distill.cli import commands, main
from distill.recipes import Recipe, read
from distill.runs.directory import write_config


def test_ls_lists_every_recipe_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipes.names()
    assert any("Hinton" in line for line in lines if line.startswith("digits/kd "))


def test_show_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "digits/rkd"]) == 0
    assert capsys.readouterr().out == recipes.find("digits/rkd").read_text()


def test_cp_makes_a_recipe_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    assert main(["cp", "digits/rkd", str(target)]) == 0
    assert target.read_text() == recipes.find("digits/rkd").read_text()
    assert main(["cp", "digits/rkd", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fitt"], ["show"], ["test", "x", "--y=1"]])
def test_wrong_commands_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_traceback_of_an_error_is_shown_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["show", "digits/none"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("distill: ")
    assert line.count("\n") == 1
    monkeypatch.setenv("DISTILL_TRACEBACK", "1")
    assert main(["show", "digits/none"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith(line)


def test_warnings_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr("distill.cli.main", lambda: 0)
    monkeypatch.setattr("signal.pthread_sigmask", lambda *_: None)
    assert run() == 0
    line = warnings.formatwarning("left out 3", UserWarning, "trees.py", 103)
    assert line == "distill: warning: left out 3\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


def test_fit_chooses_a_free_directory_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["digits/student", "--trainer.max_epochs", "1", "--seed", "3"]
    options += ["--trainer.check_val_every_n_epoch=1"]
    for expected in ("seed3", "seed3-2"):
        assert main(["fit", *options]) == 0
        folder = tmp_path / "runs" / "digits" / "student" / expected
        assert (folder / "result.json").is_file()
        printed = capsys.readouterr().out
        assert f"runs/digits/student/{expected}: result.json" in printed
        for line in ("student  CifarResNet, 77,754 parameters", "data     Digits: 100 train"):
            assert line in printed
        assert "device   cpu, 32-true" in printed


def test_a_recipe_in_the_working_directory_runs_below_it_and_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fit(recipe: Recipe, run_dir: Path, **options: Any) -> None:
        asked.append((run_dir, options["name"]))

    monkeypatch.setattr(runs, "fit", fit)
    monkeypatch.setenv("DISTILL_RUN_DIR", "")  # so that it is put back
    monkeypatch.chdir(tmp_path)
    assert main(["cp", "digits/student", "mine.yaml"]) == 0
    assert main(["fit", "mine.yaml"]) == 0
    Path("runs/mine/seed0").mkdir(parents=True)
    write_config(Path("runs/mine/seed0"), Recipe(read(Path("mine.yaml"))), "mine")
    assert main(["resume", "runs/mine/seed0"]) == 0
    assert asked == [(Path("runs/mine/seed0"), "mine")] * 2


def test_bench_reports_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("baseline: digits/student\nmethod: [digits/kd]\nseeds: [0]\n")
    assert main(["bench", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "has no argument 'method', did you mean 'methods'?" in capsys.readouterr().err


def test_a_full_disk_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(options: argparse.Namespace) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/mine/result.json")

    monkeypatch.setattr(commands, "ls", full)
    assert main(["ls"]) == 1
    told = capsys.readouterr().err
    assert told == "distill: [Errno 28] No space left on device: 'runs/mine/result.json'\n"


def test_usage_is_at_most_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("fit", "resume", "test", "bench", "sweep", "cache", "report", "chain", "ssld"):
        with pytest.raises(SystemExit) as caught:
            main([command])
        assert caught.value.code == 2
        assert 1 <= len(capsys.readouterr().err.splitlines()) <= 3, command


CUTMIX = "[{class_path: distill.augment.CutMix, init_args: {num_classes: 10}}]"


def test_augment_show_draws_the_views_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where the recipe's teacher is not
    assert main(["augment", "show", "digits/kd", "--rows", "3", "--views", "2"]) == 0
    assert capsys.readouterr().out == "augment.png\n"
    with Image.open("augment.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (6 + 3 * 134, 20 + 3 * 148)
    options = ["--out", "new/mixed.png", "--rows", "3", "--views", "2", f"--data.augment={CUTMIX}"]
    assert main(["augment", "show", "digits/kd", *options]) == 0
    with Image.open("augment.png") as plain, Image.open("new/mixed.png") as mixed:
        assert plain.size == mixed.size
        assert plain.tobytes() != mixed.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x.jpg"], "--out: must end in .png, got x.jpg"),
        (["--rows", "0"], "--rows: must be at least 1, got 0"),
        (["--views", "-1"], "--views: must be at least 1, got -1"),
        (
            [f"--data.augment={CUTMIX.replace('10', '3')}"],
            "data.augment: num_classes must be above",
        ),
        (["--data.val=1.5"], "data.val: "),
        (["--data.train_samples=99999"], "data: data.train_samples must be in"),
        (["--data.train_samples=20"], "data: data.batch_size needs 50 training images"),
        (["--model=3"], "model: "),
    ],
)
def test_augment_show_says_what_is_wrong(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["augment", "show", "digits/kd", *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
