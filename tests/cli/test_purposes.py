import argparse

import pytest

from distill.cli import main
from distill.cli.purposes import PURPOSES, by_purpose


def test_help_tells_every_command_once_under_a_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for purpose, names in PURPOSES.items():
        block = text.split(f"\n{purpose}:\n")[1].split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in block] == list(names)
        assert all(len(line.split()) > 2 for line in block), purpose
    assert "\nmore:\n" not in text, "place the new command in distill/cli/purposes.py"
    assert max(map(len, text.splitlines())) <= 100


def test_a_command_without_a_purpose_comes_last() -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    commands.add_parser("paint", help="a picture")
    commands.add_parser("fit", help="train")
    assert by_purpose(commands) == "train:\n  fit         train\n\nmore:\n  paint       a picture"
