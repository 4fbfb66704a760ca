"""Whatever other people's files stand below the folder of a command, they stay as they are."""

from pathlib import Path

import pytest

from distill.cli import main
from tests.fixtures.layouts import LAYOUTS, NAMED, changed, command, lay, state

COMMANDS = ("fit", "stages", "bench", "sweep", "chain", "ssld", "search")
FEW = [
    ("fit", "lock and number"),
    ("fit", "links to nowhere"),
    ("stages", "a file for stages"),
    ("bench", "tables"),
    ("bench", NAMED),
    ("bench", "a note of the same name"),
    ("sweep", "a journal of another study"),
    ("chain", "a later run"),
    ("ssld", "a selection"),
    ("search", "tables of a search"),
]
ALL = [(name, layout) for name in COMMANDS for layout in LAYOUTS if (name, layout) not in FEW]


def tried(name: str, layout: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[int]:
    """Exit codes of a command on a layout, and again with other settings where it wrote."""
    out = lay(layout, folder)
    before, codes = state(folder), []
    arguments = command(name, layout, folder, out)
    for changes in ([], ["--model.losses.ce.weight=0.5"]):
        codes.append(main([*arguments, *changes]))
        told = capsys.readouterr().err.splitlines()
        assert (changed(before, state(folder)), len(told) <= 3) == ([], True), told
        if codes[0] != 0:
            assert len(told) >= 1
            break
    return codes


@pytest.mark.parametrize(("name", "layout"), FEW)
def test_what_stands_in_the_way_is_told_before_anything_is_trained(
    name: str, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(name, layout, tmp_path, capsys) == [2]
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), ALL)
def test_no_file_of_somebody_else_is_changed_or_removed(
    name: str, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(tried(name, layout, tmp_path, capsys)) <= {0, 2}
