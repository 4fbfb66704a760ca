import argparse
import sys
from pathlib import Path

import pytest

from distill.cli import main
from distill.cli.trust import add_trust, on_the_path


def test_several_packages_are_taken_at_once_or_one_by_one() -> None:
    parser = argparse.ArgumentParser()
    add_trust(parser)
    assert parser.parse_args([]).trust == []
    assert parser.parse_args(["--trust", "a,b", "--trust", "c"]).trust == ["a", "b", "c"]
    assert "working directory" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("given", ["", "a,,b", "../mine", "my.py"])
def test_what_is_no_package_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_trust(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--trust", given])
    assert "needs names of packages" in capsys.readouterr().err


def test_the_working_directory_is_searched_last_and_only_with_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", before := [*sys.path])
    on_the_path([])
    assert sys.path == before
    on_the_path(["mynet"])
    assert sys.path[-1] == str(tmp_path)


def test_a_module_beside_the_recipe_is_found_with_trust_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("mynet_beside.py").write_text(
        "from torch import nn\n\ndef tiny(num_classes: int) -> nn.Module:\n    ...\n"
    )
    Path("mynet_broken.py").write_text("missing_name\n")
    assert main(["help", "mynet_beside.tiny"]) == 2
    assert "see --trust" in capsys.readouterr().err
    assert main(["help", "mynet_beside.tiny", "--trust", "other,mynet_beside"]) == 0
    assert "num_classes: a whole number; needed" in capsys.readouterr().out
    for name, told in (("absent", "No module named"), ("broken", "NameError: name 'missing_name'")):
        assert main(["help", f"mynet_{name}.tiny", "--trust", f"mynet_{name}"]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"distill: help: mynet_{name} cannot be imported: {told}")
        assert line.count("\n") == 1
