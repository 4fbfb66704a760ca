import sys
from pathlib import Path

import pytest

from distill import recipes
from distill.cli import main
from distill.recipes import Recipe
from distill.runs.directory import write_config
from distill.tools import doctor
from tests.fixtures.images import folder


def test_ls_takes_a_word_of_the_name_or_the_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "HINTON"]) == 0
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "digits/kd" in found
    assert len(found) < len(recipes.names())
    assert main(["ls", "digits/kd_rkd"]) == 0
    assert capsys.readouterr().out.startswith("digits/kd_rkd ")
    assert main(["ls", "xyzzy"]) == 2
    assert "no recipe has this in its name or title" in capsys.readouterr().err


def test_ls_groups_by_data_set_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["ls", "/student"]) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if not line.startswith("  ")]
    assert headings == sorted(headings)
    place = next(n for n, line in enumerate(lines) if line.startswith("digits ("))
    assert lines[place + 1].startswith("  digits/student")


def test_help_is_that_of_all_of_a_command_or_of_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    for topic, told in (([], "begin:"), (["fit"], "--trust"), (["torch.optim.SGD"], "momentum")):
        assert main(["help", *topic]) == 0
        assert told in capsys.readouterr().out
    assert main(["help", "torch.load"]) == 2
    assert "may not be named" in capsys.readouterr().err


def test_runs_lists_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_config(tmp_path / "runs" / name, Recipe({"model": {"x": name}}), f"mine/{name}")
    assert main(["runs", "--match", "mine/b"]) == 0
    out = capsys.readouterr().out
    assert "runs/b" in out
    assert "runs/a" not in out
    assert main(["runs", "--compare", "a", "runs/b"]) == 0
    assert "model.x" in capsys.readouterr().out
    assert main(["runs", "--compare", "a", "c"]) == 2


def test_init_writes_a_recipe_from_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    options = ["--data", folder(tmp_path / "images"), "--teacher", "none", "--student", "resnet8"]
    assert main(["init", str(file), *options, "--epochs", "3"]) == 0
    assert "30 images of 3 classes" in capsys.readouterr().out
    assert recipes.load(file)["trainer"] == {"max_epochs": 3}


def test_doctor_prints_its_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "doctor", lambda folder: iter(["one", "two"]))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
